package methods

import (
	"errors"
	"io"
	"sync"
	"time"
)

// watcher listens to a tool: it answers prompts until the agent is up, and keeps and logs lines for ever after.
type watcher struct {
	tail tail
	fail func(error) // takes the first error that the tool's words mean
	done chan struct{}

	mu  sync.Mutex
	m   matcher
	log func(string) // nil until the agent is up
}

// watch listens to p. If p has words of its own, one goroutine reads them until they end or are closed; if they
// come in the link, the bootstrap has to read it through tap.
func watch(p *process, rules []rule, v values, fail func(error)) *watcher {
	w := &watcher{fail: fail, done: make(chan struct{})}
	w.m = matcher{rules: rules, v: v, line: w.line}
	if p.words == nil {
		close(w.done)
	} else {
		go w.read(p.words, p.typed)
	}
	return w
}

func (w *watcher) read(words io.Reader, typed io.Writer) {
	defer close(w.done)
	buf := make([]byte, 4096)
	for {
		n, err := words.Read(buf)
		w.hear(buf[:n], typed)
		if err != nil {
			w.silence()
			return
		}
	}
}

// hear feeds the matcher and types what it answers.
func (w *watcher) hear(p []byte, typed io.Writer) {
	w.mu.Lock()
	reply, err := w.m.feed(p)
	w.mu.Unlock()
	if err == nil && reply != nil {
		if typed == nil {
			err = errors.New("asks without a terminal: " + quoted(lastLine(w.tail.all())))
		} else if _, e := typed.Write(reply); e != nil {
			err = e
		}
	}
	if err != nil {
		w.fail(err)
	}
}

func (w *watcher) silence() {
	w.mu.Lock()
	err := w.m.finish()
	w.mu.Unlock()
	if err != nil {
		w.fail(err)
	}
}

// line takes a whole line; w.mu is held.
func (w *watcher) line(text string) {
	w.tail.add(text)
	if w.log != nil {
		if text = printable(text); text != "" {
			w.log(text)
		}
	}
}

// up ends the prompts: whatever looks like one from now on was printed by somebody else.
func (w *watcher) up(log func(string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.m.rules = nil
	w.log = log
}

// wait waits until all words are in, but no longer than d: a process that the tool has left behind may hold its stderr.
func (w *watcher) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
	}
}

// last is the unfinished line, or else the last one.
func (w *watcher) last() string {
	w.mu.Lock()
	text := printable(w.m.unfinished())
	w.mu.Unlock()
	return lastLine(append(w.tail.all(), text))
}

// tap is the link of a tool whose words come in it: what is read goes past the watcher.
type tap struct {
	io.ReadWriteCloser
	w *watcher
}

func (t tap) Read(p []byte) (int, error) {
	n, err := t.ReadWriteCloser.Read(p)
	t.w.hear(p[:n], t.ReadWriteCloser)
	return n, err
}

// close ends the watching of a tool that is gone. What it has printed is read first.
func (w *watcher) close(p *process) {
	if p.words == nil {
		return
	}
	w.wait(lastWordsWait)
	_ = p.words.Close()
	<-w.done
}
