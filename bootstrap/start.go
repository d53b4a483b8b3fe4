package bootstrap

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// Options for Start.
type Options struct {
	// PTY says that rw is the master side of a terminal, where a read fails with EIO once the far side has
	// gone. The first stage finds the terminal by itself, also one that is not ours.
	PTY   bool
	Local bool // as given to Argv
	// Direct: the agent itself was executed (AgentArgv), not the first stage; only its ready line is waited for.
	Direct bool
	// Noise takes what the far side prints before ready, line by line; nil discards. (It is kept for the
	// error anyway.) It is called from one goroutine, and not after Start has returned.
	Noise func(line string)
}

// Ready is what the agent said.
type Ready struct {
	Platform Platform
	Version  string
	Caps     []string
	Offer    *Offer // what cfg.Offer asked for and the agent could make; it waits for the choice. nil: the link is rw
	Cached   bool
	Uploaded time.Duration // from the request for the image to ready; 0 when it was cached
	// Early is what has been read behind the ready line: the link's first bytes.
	Early []byte
}

// Stages, as StageError names them.
const (
	stageHello  = "hello"
	stageUpload = "upload"
	stageReady  = "ready"
)

// maxUploads bounds the requests for an image: one for each directory, and memory.
const maxUploads = 6

// lastWordsTime is how long the far side's output is read after it has stopped taking the image.
const lastWordsTime = 300 * time.Millisecond

// Start speaks to the first stage that Argv started with the same cfg: hello, upload if wanted, ready.
// Nothing is sent but the image, and nothing behind it until ready has come. When ctx is done Start returns
// at once; a read or write may then still be going on, until the caller closes rw. Errors are *StageError.
func Start(ctx context.Context, rw io.ReadWriter, im *Images, cfg Config, opt Options) (*Ready, error) {
	h := &handshake{
		rw:     rw,
		r:      bufio.NewReaderSize(rw, 4096),
		im:     im,
		opt:    opt,
		offer:  cfg.Offer,
		tail:   tail{pass: opt.Noise},
		broken: make(chan error, 1),
	}
	h.state.Store(&progress{stage: stageHello})
	type result struct {
		ready *Ready
		err   error
	}
	done := make(chan result, 1)
	go func() { // ends with the handshake, at the latest when the caller has closed rw
		ready, err := h.run()
		done <- result{ready, err}
	}()
	var err error
	select {
	case res := <-done:
		if res.err == nil {
			h.tail.close()
			return res.ready, nil
		}
		err = res.err
	case err = <-h.broken:
		select {
		case res := <-done:
			err = res.err
		case <-ctx.Done():
		case <-time.After(lastWordsTime):
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	at := h.state.Load()
	return nil, &StageError{Stage: at.stage, Platform: at.platform, Cached: at.cached, Tail: h.tail.close(), Err: err}
}

// progress is how far a handshake has got.
type progress struct {
	stage    string
	platform Platform
	cached   bool
}

// handshake is owned by the goroutine in run, but for state and tail, which Start may look at.
type handshake struct {
	rw    io.ReadWriter
	r     *bufio.Reader
	im    *Images
	opt   Options
	offer bool // was asked for
	noise int  // bytes

	state  atomic.Pointer[progress]
	tail   tail
	broken chan error // takes the first error of writing
}

func (h *handshake) run() (*Ready, error) {
	if h.opt.Direct {
		return h.direct()
	}
	m, err := h.next()
	if err != nil {
		return nil, err
	}
	at := progress{stage: stageReady, platform: parsePlatform(m.uname)}
	switch m.kind {
	case helloCached:
		at.cached = true
	case helloNeed:
		at.stage = stageUpload
	case helloNone:
		h.state.Store(&at)
		return nil, &NeedImageError{at.platform}
	default:
		return nil, unexpected(m)
	}
	h.state.Store(&at)
	return h.finish(m, at)
}

// direct waits for the ready line of an agent that was executed without a first stage.
func (h *handshake) direct() (*Ready, error) {
	at := progress{stage: stageReady, platform: Own()}
	h.state.Store(&at)
	m, err := h.next()
	if err != nil {
		return nil, err
	}
	if m.kind != announced {
		return nil, unexpected(m)
	}
	at.cached = true
	return h.ready(m, at), nil
}

// finish serves requests until ready has come.
func (h *handshake) finish(m message, at progress) (*Ready, error) {
	begin := time.Now()
	for n := 0; m.kind == helloNeed && n == 0 || m.kind == again && n > 0 && n < maxUploads; n++ {
		var err error
		if err = h.upload(at.platform, m); err == nil {
			m, err = h.next()
		}
		if err != nil {
			return nil, err
		}
	}
	if m.kind == helloCached {
		var err error
		if m, err = h.next(); err != nil {
			return nil, err
		}
	}
	if m.kind != announced {
		return nil, unexpected(m)
	}
	r := h.ready(m, at)
	if !at.cached {
		r.Uploaded = time.Since(begin)
	}
	return r, nil
}

// ready is what Start returns once the agent has announced itself.
func (h *handshake) ready(m message, at progress) *Ready {
	r := &Ready{Platform: at.platform, Version: m.text, Cached: at.cached, Early: h.early()}
	r.Caps, r.Offer = cutOffer(m.caps)
	if !h.offer {
		r.Offer = nil // nobody waits for a choice
	}
	return r
}

func unexpected(m message) error {
	if m.kind == failed {
		return farError(m.text)
	}
	return errors.New("a line of the handshake that does not belong there")
}

// next returns the next line of the handshake. Others go into the tail.
func (h *handshake) next() (message, error) {
	for {
		line, err := h.readLine()
		if err != nil {
			return message{}, err
		}
		if m := parseMarker(line); m.kind != noMarker {
			return m, nil
		}
		h.tail.add(line)
		if h.noise > maxNoise {
			return message{}, errors.New("more than " + strconv.Itoa(maxNoise>>20) + " MiB of other output")
		}
	}
}

// readLine returns a line without its line feed, cut to what the buffer holds. The end of the stream is
// io.ErrUnexpectedEOF; an unfinished last line is noise.
func (h *handshake) readLine() (string, error) {
	slice, err := h.r.ReadSlice('\n')
	line := string(slice)
	h.noise += len(slice)
	for errors.Is(err, bufio.ErrBufferFull) && h.noise <= maxNoise {
		slice, err = h.r.ReadSlice('\n')
		h.noise += len(slice)
	}
	switch {
	case err == nil:
		return line[:len(line)-1], nil
	case errors.Is(err, bufio.ErrBufferFull):
		return line, nil
	case errors.Is(err, io.EOF), h.opt.PTY && errors.Is(err, syscall.EIO):
		err = io.ErrUnexpectedEOF
	}
	h.tail.add(line)
	return "", err
}

// upload sends what m asks for.
func (h *handshake) upload(p Platform, m message) error {
	img, err := h.im.Lookup(p)
	if err != nil {
		return err
	}
	src, size, err := img.source.open(img, m.gzip)
	if err != nil {
		return err
	}
	defer src.Close()
	if size != m.size {
		return errors.New("asked for " + strconv.FormatInt(m.size, 10) + " bytes, the image has " + strconv.FormatInt(size, 10))
	}
	if err := h.send(src, size); err != nil {
		return err
	}
	at := *h.state.Load()
	at.stage = stageReady
	h.state.Store(&at)
	return nil
}

// send copies size bytes to the far side. If it does not take them, its last words may say why.
func (h *handshake) send(src io.Reader, size int64) error {
	buf := make([]byte, 64<<10)
	for size > 0 {
		n, err := io.ReadFull(src, buf[:min(size, int64(len(buf)))])
		if err != nil {
			return errors.New("read the image: " + err.Error())
		}
		if _, err := h.rw.Write(buf[:n]); err != nil {
			h.broken <- err
			return h.lastWords(err)
		}
		size -= int64(n)
	}
	return nil
}

// lastWords reads on until the stream ends. It returns the reason that the far side gives, or else err.
func (h *handshake) lastWords(err error) error {
	for {
		switch m, end := h.next(); {
		case end != nil:
			return err
		case m.kind == failed:
			return farError(m.text)
		}
	}
}

// early is what has been read and belongs to nobody yet; nil for nothing.
func (h *handshake) early() []byte {
	n := h.r.Buffered()
	if n == 0 {
		return nil
	}
	early, _ := h.r.Peek(n)
	return append([]byte(nil), early...)
}
