package router_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fakessh/router"
	"fakessh/router/routertest"
)

// streamBetween opens a stream from one router to one beneath it and returns both ends.
func streamBetween(t testing.TB, from, to *router.Router) (near, far *router.Stream) {
	t.Helper()
	accepted := make(chan *router.Stream, 1)
	to.Register("test.accept", func(_ context.Context, c *router.Call) (any, error) {
		s, err := c.Stream()
		accepted <- s
		return "welcome", err
	})
	near, v, err := from.Context(to.ID()).Open(context.Background(), "test.accept")
	if err != nil || v != "welcome" {
		t.Fatalf("open: %v, %v", v, err)
	}
	far = <-accepted
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// streamPair is a stream between a master and its child.
func streamPair(t testing.TB, options ...routertest.Option) (near, far *router.Stream) {
	t.Helper()
	master, child := routertest.Pair(t, options...)
	return streamBetween(t, master, child)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// finished waits until a stream has ended, in order.
func finished(t testing.TB, streams ...*router.Stream) {
	t.Helper()
	for _, s := range streams {
		select {
		case <-s.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("the stream goes on")
		}
		if err := s.Err(); err != nil {
			t.Errorf("ended by %v", err)
		}
	}
}

func wantReset(t testing.TB, err error, reason string) {
	t.Helper()
	var reset *router.ResetError
	if !errors.As(err, &reset) || reset.Reason != reason {
		t.Errorf("error %v, want a reset %q", err, reason)
	}
}

func TestStreamCarriesBytesBothWays(t *testing.T) {
	routertest.Leaks(t)
	tree := routertest.Tree(t, "a(b(c))", func(_ string, cfg *router.Config) { cfg.Unidirectional = true })
	near, far := streamBetween(t, tree.Master, tree.Node("c"))
	data := randomBytes(3<<20 + 17)
	errs := make(chan error, 4)
	for _, s := range []*router.Stream{near, far} {
		go func() {
			n, err := s.ReadFrom(bytes.NewReader(data))
			if err == nil && n != int64(len(data)) {
				err = fmt.Errorf("%d bytes went", n)
			}
			errs <- errors.Join(err, s.CloseWrite())
		}()
		go func() {
			h := sha256.New()
			_, err := s.WriteTo(h)
			if err == nil && [32]byte(h.Sum(nil)) != sha256.Sum256(data) {
				err = errors.New("other bytes came")
			}
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	finished(t, near, far)
}

// Every mixture of writes of all sizes in two classes, and of reads, gives the same bytes.
func TestClassesKeepTheirOrder(t *testing.T) {
	near, far := streamPair(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	var sent [2][]byte
	var order []router.Class
	go func() {
		for range 400 {
			c := router.Class(rnd.IntN(2))
			p := randomBytes(1 + rnd.IntN(3000))
			if rnd.IntN(20) == 0 {
				p = randomBytes(100_000)
			}
			sent[c] = append(sent[c], p...)
			for range p {
				order = append(order, c)
			}
			if _, err := near.WriteClass(c, p); err != nil {
				t.Error(err)
			}
		}
		near.CloseWrite()
	}()
	var got [2][]byte
	var came []router.Class
	for {
		c, err := far.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[c.Class] = append(got[c.Class], c.Data...)
		for range c.Data {
			came = append(came, c.Class)
		}
		c.Release()
		c.Release()
	}
	for c := range got {
		if !bytes.Equal(got[c], sent[c]) {
			t.Errorf("class %d differs", c)
		}
	}
	if string(came) != string(order) {
		t.Error("the classes came in another order")
	}
}

func TestTwoCopiesAtOnce(t *testing.T) {
	near, far := streamPair(t)
	out, errOut := randomBytes(700_000), randomBytes(500_001)
	done := make(chan error, 2)
	go func() {
		_, err := far.CopyFrom(router.Main, bytes.NewReader(out))
		done <- err
	}()
	go func() {
		_, err := far.CopyFrom(router.Extended, bytes.NewReader(errOut))
		done <- err
	}()
	go func() {
		if err := errors.Join(<-done, <-done); err != nil {
			t.Error(err)
		}
		far.CloseWrite()
	}()
	var got [2][]byte
	for {
		c, err := near.Next()
		if err != nil {
			break
		}
		got[c.Class] = append(got[c.Class], c.Data...)
		c.Release()
	}
	if !bytes.Equal(got[0], out) || !bytes.Equal(got[1], errOut) {
		t.Error("bytes differ")
	}
}

func TestTryNextWaitsForNothing(t *testing.T) {
	near, far := streamPair(t)
	if c, ok := near.TryNext(); ok {
		t.Errorf("got %q of nothing", c.Data)
	}
	for _, text := range []string{"one", "two", "three"} {
		if _, err := far.WriteClass(router.Extended, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	far.CloseWrite()
	near.CloseWrite()
	finished(t, near) // so all of it is there
	for _, want := range []string{"one", "two", "three"} {
		c, ok := near.TryNext()
		if !ok || string(c.Data) != want || c.Class != router.Extended {
			t.Errorf("got %q (%v), want %q", c.Data, ok, want)
		}
		c.Release()
	}
	if c, ok := near.TryNext(); ok {
		t.Errorf("got %q after the end", c.Data)
	}
	if _, err := near.Next(); err != io.EOF {
		t.Errorf("got %v", err)
	}
	near.Close()
	if _, ok := near.TryNext(); ok {
		t.Error("a closed stream gives something")
	}
}

func TestReadDiscardsExtended(t *testing.T) {
	near, far := streamPair(t)
	far.WriteClass(router.Extended, []byte("noise"))
	far.Write([]byte("signal"))
	far.WriteClass(router.Extended, bytes.Repeat([]byte("noise"), 1000))
	far.CloseWrite()
	one := make([]byte, 1)
	if n, err := near.Read(one); n != 1 || err != nil || one[0] != 's' {
		t.Fatal(n, err)
	}
	var rest bytes.Buffer
	if n, err := near.WriteTo(&rest); n != 5 || err != nil || rest.String() != "ignal" {
		t.Errorf("%d, %v, %q", n, err, rest.String())
	}
}

func TestHalfCloseLeavesTheOtherDirectionOpen(t *testing.T) {
	near, far := streamPair(t)
	near.Write([]byte("question"))
	near.CloseWrite()
	if err := near.CloseWrite(); err != nil {
		t.Errorf("second CloseWrite: %v", err)
	}
	if b, err := io.ReadAll(far); string(b) != "question" || err != nil {
		t.Fatal(string(b), err)
	}
	if _, err := near.Write([]byte("x")); !errors.Is(err, router.ErrStreamClosed) {
		t.Error(err)
	}
	far.Write([]byte("answer"))
	select {
	case <-near.Done():
		t.Fatal("over with one EOF")
	default:
	}
	far.CloseWrite()
	if b, err := io.ReadAll(near); string(b) != "answer" || err != nil {
		t.Fatal(string(b), err)
	}
	finished(t, near, far)
}

func TestPeersResetReachesEveryCall(t *testing.T) {
	near, far := streamPair(t)
	far.Write([]byte("unread"))
	errs := make(chan error, 2)
	go func() {
		_, err := near.ReadFrom(endless{})
		errs <- err
	}()
	go func() {
		_, err := near.Control(context.Background())
		errs <- err
	}()
	far.Reset(errors.New("no thanks"))
	wantReset(t, <-errs, "no thanks")
	wantReset(t, <-errs, "no thanks")
	_, err := near.Read(make([]byte, 1))
	wantReset(t, err, "no thanks")
	wantReset(t, near.CloseWrite(), "no thanks")
	wantReset(t, near.SendControl(router.Control{}), "no thanks")
	wantReset(t, near.Err(), "no thanks")
}

// endless is a source without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// A RESET after EOF only says that the peer takes no more: what it sent before is whole.
func TestResetAfterEOFDiscardsNothing(t *testing.T) {
	near, far := streamPair(t)
	data := randomBytes(200_000)
	far.Write(data)
	far.SendControl(router.Control{Kind: 'x', Data: []byte{7}})
	far.CloseWrite()
	far.Close()
	<-near.Done()
	wantReset(t, near.Err(), "stream closed")
	_, err := near.Write([]byte("x"))
	wantReset(t, err, "stream closed")
	if c, err := near.Control(context.Background()); c.Kind != 'x' || err != nil {
		t.Errorf("control item: %v, %v", c, err)
	}
	if b, err := io.ReadAll(near); !bytes.Equal(b, data) || err != nil {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestOwnResetEndsOwnCalls(t *testing.T) {
	near, far := streamPair(t)
	cause := errors.New("changed my mind")
	errs := make(chan error, 2)
	go func() {
		_, err := near.Read(make([]byte, 1))
		errs <- err
	}()
	go func() {
		_, err := near.ReadFrom(endless{})
		errs <- err
	}()
	near.Reset(cause)
	near.Reset(errors.New("again"))
	for range 2 {
		if err := <-errs; err != cause {
			t.Error(err)
		}
	}
	<-far.Done()
	wantReset(t, far.Err(), "changed my mind")
	if near.Err() != cause {
		t.Error(near.Err())
	}
}

func TestCloseIsIdempotentAndWakes(t *testing.T) {
	near, far := streamPair(t)
	woken := make(chan error, 1)
	go func() {
		_, err := near.Control(context.Background())
		woken <- err
	}()
	for range 3 {
		if err := near.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-woken; err != router.ErrStreamClosed {
		t.Error(err)
	}
	<-far.Done()
	if _, err := near.Read(make([]byte, 1)); err != router.ErrStreamClosed {
		t.Error(err)
	}
	if _, err := near.Write(nil); err != nil {
		t.Errorf("writing nothing: %v", err)
	}
}

func TestControlItems(t *testing.T) {
	near, far := streamPair(t)
	near.CloseWrite() // items may follow EOF
	for i := range 10 {
		if err := near.SendControl(router.Control{Kind: 'w', Data: bytes.Repeat([]byte{byte(i)}, i*400)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		c, err := far.Control(context.Background())
		if err != nil || c.Kind != 'w' || len(c.Data) != i*400 {
			t.Fatal(c, err)
		}
	}
	if err := near.SendControl(router.Control{Data: make([]byte, 4097)}); err == nil {
		t.Error("an item of 4097 bytes goes")
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	time.AfterFunc(time.Millisecond, func() { cancel(cause) })
	if _, err := far.Control(ctx); err != cause {
		t.Error(err)
	}
	far.CloseWrite()
	if _, err := far.Control(context.Background()); err != io.EOF {
		t.Error(err)
	}
	finished(t, near, far)
	if err := near.SendControl(router.Control{}); err != router.ErrStreamClosed {
		t.Errorf("after the end: %v", err)
	}
}

// Control items pass data that waits for credit.
func TestControlOvertakesBlockedData(t *testing.T) {
	near, far := streamPair(t)
	go near.ReadFrom(endless{}) // ends with the stream
	var c router.Chunk
	for range 8 { // the window is in use
		var err error
		if c, err = far.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if err := near.SendControl(router.Control{Kind: 's'}); err != nil {
		t.Fatal(err)
	}
	if item, err := far.Control(context.Background()); err != nil || item.Kind != 's' {
		t.Error(item, err)
	}
	c.Release()
}

func TestStalledReaderHoldsOneWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := routertest.Tree(t, "a(b)")
		near, _ := streamBetween(t, tree.Master, tree.Node("b"))
		source := &counting{r: endless{}}
		go near.ReadFrom(source) // ends with the stream
		synctest.Wait()
		if source.n < 256<<10 || source.n > 256<<10+32<<10 {
			t.Errorf("%d bytes were taken from the source", source.n)
		}
		for _, r := range []*router.Router{tree.Master, tree.Node("a"), tree.Node("b")} {
			for _, l := range r.Links() {
				if l.Queued != 0 {
					t.Errorf("%d bytes wait in %d for %d", l.Queued, r.ID(), l.Remote)
				}
			}
		}
		other, far := streamBetween(t, tree.Master, tree.Node("b"))
		other.Write([]byte("not held up"))
		other.CloseWrite()
		if b, err := io.ReadAll(far); string(b) != "not held up" || err != nil {
			t.Error(string(b), err)
		}
	})
}

// counting counts what is read from a source.
type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// A reader of 1 MB/s makes nobody hold more than the first window, however long it takes, and then reads on at full speed.
func TestSlowReaderHoldsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := streamPair(t)
		source := &counting{r: endless{}}
		go near.ReadFrom(source) // ends with the stream
		read := 0
		for range 600 { // a minute
			time.Sleep(100 * time.Millisecond)
			for sum := 0; sum < 100_000; {
				c, err := far.Next()
				if err != nil {
					t.Fatal(err)
				}
				sum += len(c.Data)
				read += len(c.Data)
				c.Release()
			}
			synctest.Wait()
			if held := source.n - read; held > 1<<20 {
				t.Fatalf("%d bytes are on the way or unread", held)
			}
		}
		for range 1000 {
			c, err := far.Next()
			if err != nil {
				t.Fatal(err)
			}
			c.Release()
		}
	})
}

func TestLossWakesEverybodyWithTheCause(t *testing.T) {
	for _, cut := range []string{"a", "b", "c"} {
		synctest.Test(t, func(t *testing.T) {
			tree := routertest.Tree(t, "a(b(c))")
			near, far := streamBetween(t, tree.Master, tree.Node("c"))
			results := make(chan error, 4)
			for _, s := range []*router.Stream{near, far} {
				calls := []func() error{
					func() error { _, err := s.ReadFrom(endless{}); return err },
					func() error { _, err := s.Control(context.Background()); return err },
				}
				for _, fn := range calls {
					go func() { results <- fn() }()
				}
			}
			synctest.Wait()
			tree.Cut(cut)
			synctest.Wait()
			if len(results) != 4 {
				t.Fatalf("cut at %s: %d of 4 calls have ended", cut, len(results))
			}
			for _, err := range []error{<-results, <-results, <-results, <-results, near.Err(), far.Err()} {
				var lost *router.LostError
				if !errors.As(err, &lost) || !errors.Is(err, router.ErrLost) || lost.Cause == nil {
					t.Errorf("cut at %s: %v", cut, err)
				}
			}
			if _, err := near.Write([]byte("x")); !errors.Is(err, router.ErrLost) {
				t.Error(err)
			}
		})
	}
}

// What was sent before EOF arrives whole though the sender's link goes down right after, with a slow link on the way.
func TestDataBeforeEOFSurvivesTheLoss(t *testing.T) {
	for range 20 {
		tree := routertest.Tree(t, "a(b(c))")
		near, far := streamBetween(t, tree.Master, tree.Node("c"))
		near.Write([]byte("this makes credit and reset frames meet the loss"))
		data := randomBytes(250_000)
		far.Write(data)
		far.SendControl(router.Control{Kind: 'x'})
		far.CloseWrite()
		tree.Node("c").Close() // flushes
		b, err := io.ReadAll(near)
		if !bytes.Equal(b, data) || err != nil {
			t.Fatalf("%d bytes of %d, %v", len(b), len(data), err)
		}
		if c, err := near.Control(context.Background()); err != nil || c.Kind != 'x' {
			t.Fatal(c, err)
		}
	}
}

// Without EOF the loss itself is the end of what arrived.
func TestReadsDrainBeforeTheLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := routertest.Tree(t, "a(b)")
		near, far := streamBetween(t, tree.Master, tree.Node("b"))
		far.Write(make([]byte, 100_000))
		synctest.Wait()
		tree.Cut("b")
		synctest.Wait()
		n, err := io.Copy(io.Discard, near)
		if n != 100_000 || !errors.Is(err, router.ErrLost) {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

func TestRouterCloseEndsStreamsAtBothEnds(t *testing.T) {
	routertest.Leaks(t)
	master, child := routertest.Pair(t)
	near, far := streamBetween(t, master, child)
	far.Write([]byte("left"))
	far.CloseWrite()
	master.Close()
	<-near.Done()
	<-far.Done()
	if near.Err() != router.ErrClosed {
		t.Error(near.Err())
	}
	if !errors.Is(far.Err(), router.ErrLost) {
		t.Errorf("the far end takes %v for the end of the stream alone", far.Err())
	}
	if _, _, err := master.Context(child.ID()).Open(context.Background(), "test.accept"); err == nil {
		t.Error("a closed router opens streams")
	}
}

func TestOpenFailures(t *testing.T) {
	master, child := routertest.Pair(t)
	c := master.Context(child.ID())
	accepted := make(chan *router.Stream, 1)
	child.Register("test.plain", func(context.Context, *router.Call) (any, error) { return 1, nil })
	child.Register("test.fails", func(_ context.Context, c *router.Call) (any, error) {
		s, err := c.Stream()
		if err == nil {
			s.Write([]byte("lost"))
			accepted <- s
			err = errors.New("cannot")
		}
		return nil, err
	})
	child.Register("test.wants", func(_ context.Context, c *router.Call) (any, error) { _, err := c.Stream(); return nil, err })
	ctx := context.Background()

	var open *router.OpenError
	if _, _, err := c.Open(ctx, "test.plain"); !errors.As(err, &open) {
		t.Errorf("a function that accepts nothing: %v", err)
	}
	var call *router.CallError
	if _, _, err := c.Open(ctx, "test.fails"); !errors.As(err, &call) || call.Text != "cannot" {
		t.Errorf("a function that fails: %v", err)
	}
	s := <-accepted
	<-s.Done()
	if err := s.Err(); err == nil || err.Error() != "cannot" {
		t.Errorf("its stream: %v", err)
	}
	if _, _, err := c.Open(ctx, "test.none"); !errors.As(err, &call) {
		t.Errorf("no function: %v", err)
	}
	if _, err := c.Call(ctx, "test.wants"); err == nil || !strings.Contains(err.Error(), "offered no stream") {
		t.Errorf("a call without a stream: %v", err)
	}
	if _, _, err := master.Context(77).Open(ctx, "test.accept"); err == nil {
		t.Error("a stream to nobody")
	}
	for _, l := range master.Links() {
		if l.Streams != 0 {
			t.Errorf("%d streams are left", l.Streams)
		}
	}
}

// Who gives up waiting leaves no stream at the far end, whether the function had accepted by then or accepts later.
func TestGivingUpAnOpenEndsTheFarEnd(t *testing.T) {
	for _, late := range []bool{false, true} {
		master, child := routertest.Pair(t)
		accepted, goOn, gaveUp := make(chan *router.Stream, 1), make(chan bool), make(chan bool)
		child.Register("test.slow", func(_ context.Context, c *router.Call) (any, error) {
			if late {
				close(goOn)
				<-gaveUp
			}
			s, err := c.Stream()
			accepted <- s
			if !late {
				close(goOn)
				<-gaveUp
			}
			return nil, err
		})
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-goOn; cancel() }()
		if _, _, err := master.Context(child.ID()).Open(ctx, "test.slow"); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		close(gaveUp)
		s := <-accepted
		<-s.Done()
		if late {
			wantReset(t, s.Err(), "invalid handle")
		}
	}
}

// The acceptor may send before the function has answered, and the opener gets all of it.
func TestAcceptorSendsBeforeItsAnswer(t *testing.T) {
	master, child := routertest.Pair(t)
	data := randomBytes(200_000)
	child.Register("test.early", func(_ context.Context, c *router.Call) (any, error) {
		s, err := c.Stream()
		if err != nil {
			return nil, err
		}
		again, _ := c.Stream()
		if again != s {
			t.Error("a second stream for one call")
		}
		s.Write(data)
		s.SendControl(router.Control{Kind: 'x'})
		return nil, s.CloseWrite()
	})
	s, _, err := master.Context(child.ID()).Open(context.Background(), "test.early")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if b, err := io.ReadAll(s); !bytes.Equal(b, data) || err != nil {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestManyStreamsAtOnce(t *testing.T) {
	routertest.Leaks(t)
	tree := routertest.Tree(t, "a(b)")
	tree.Node("b").Register("test.echo", func(_ context.Context, c *router.Call) (any, error) {
		s, err := c.Stream()
		if err != nil {
			return nil, err
		}
		go func() { // ends with the stream
			defer s.Close()
			s.ReadFrom(s)
			s.CloseWrite()
			<-s.Done()
		}()
		return nil, nil
	})
	const n = 200
	errs := make(chan error, n)
	for i := range n {
		go func() {
			data := randomBytes(10_000 + i)
			s, _, err := tree.View("master", "b").Open(context.Background(), "test.echo")
			if err != nil {
				errs <- err
				return
			}
			defer s.Close()
			go func() { // ends when all is written
				s.Write(data)
				s.CloseWrite()
			}()
			b, err := io.ReadAll(s)
			if err == nil && !bytes.Equal(b, data) {
				err = errors.New("bytes differ")
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestWriteErrorsOfTheCopies(t *testing.T) {
	near, far := streamPair(t)
	far.Write([]byte("something"))
	broken := errors.New("broken pipe")
	if _, err := near.WriteTo(writerFunc(func([]byte) (int, error) { return 0, broken })); err != broken {
		t.Error(err)
	}
	far.Write([]byte("something"))
	if _, err := near.WriteTo(writerFunc(func([]byte) (int, error) { return 1, nil })); err != io.ErrShortWrite {
		t.Error(err)
	}
	if n, err := near.ReadFrom(io.MultiReader(strings.NewReader("abc"), readerFunc(func([]byte) (int, error) { return 0, broken }))); n != 3 || err != broken {
		t.Error(n, err)
	}
	if _, err := near.ReadFrom(readerFunc(func([]byte) (int, error) { return 0, nil })); err != io.ErrNoProgress {
		t.Error(err)
	}
	if _, err := near.ReadFrom(readerFunc(func(p []byte) (int, error) { return len(p) + 1, nil })); err == nil {
		t.Error("a source that gives more than fits")
	}
	if n, err := near.ReadFrom(readerFunc(func(p []byte) (int, error) { return copy(p, "last"), io.EOF })); n != 4 || err != nil {
		t.Error(n, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestLinksCountStreams(t *testing.T) {
	master, child := routertest.Pair(t)
	near, far := streamBetween(t, master, child)
	near.Write(make([]byte, 100_000))
	io.ReadFull(far, make([]byte, 100_000))
	for master.Links()[0].SmoothedRTT == 0 {
		near.Write(make([]byte, 100_000))
		io.ReadFull(far, make([]byte, 100_000))
	}
	if n := master.Links()[0].Streams; n != 1 {
		t.Errorf("%d streams", n)
	}
	near.Close()
	<-far.Done()
	if n := master.Links()[0].Streams + child.Links()[0].Streams; n != 0 {
		t.Errorf("%d streams are left", n)
	}
}
