package router_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"fakessh/router"
	"fakessh/router/routertest"
)

// fickle takes a random part of what it is offered.
type fickle struct {
	bytes.Buffer
	rand        *rand.Rand
	offers, all int
	joined      int // pieces in one offer, at most
}

func (f *fickle) TryWrite(pieces [][]byte) int {
	p := bytes.Join(pieces, nil)
	f.offers++
	f.joined = max(f.joined, len(pieces))
	n := len(p)
	switch f.rand.IntN(4) {
	case 0:
		n = 0
	case 1:
		n = f.rand.IntN(n)
	default:
		f.all++
	}
	f.Write(p[:n])
	return n
}

func TestOffersKeepTheOrderAndTheCredit(t *testing.T) {
	routertest.Leaks(t)
	near, far := streamPair(t)
	data := randomBytes(24<<20 + 5) // more than any window
	go func() {
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 1+rand.IntN(50<<10))
			if _, err := near.Write(rest[:n]); err != nil {
				t.Error(err)
			}
			rest = rest[n:]
		}
		near.CloseWrite()
	}()
	to := &fickle{rand: rand.New(rand.NewPCG(1, 2))}
	n, err := far.WriteTo(to)
	if n != int64(len(data)) || err != nil || !bytes.Equal(to.Bytes(), data) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if to.all == 0 || to.joined < 2 {
		t.Errorf("of %d offers %d were used whole, the longest of %d pieces", to.offers, to.all, to.joined)
	}
	far.CloseWrite()
	finished(t, near, far)
}

func TestOffersHaveBothClasses(t *testing.T) {
	near, far := streamPair(t)
	offered := make(chan string)
	ended := make(chan error)
	go func() {
		for {
			c, err := far.NextOr(func(c router.Class, pieces [][]byte) int {
				p := bytes.Join(pieces, nil)
				offered <- string('0'+byte(c)) + string(p)
				return len(p)
			})
			if err != nil {
				ended <- err
				return
			}
			c.Release() // it came before NextOr waited
		}
	}()
	for c, text := range []string{"main", "extended"} {
		want := string('0'+byte(c)) + text
		for got := ""; got != want; {
			if _, err := near.WriteClass(router.Class(c), []byte(text)); err != nil {
				t.Fatal(err)
			}
			select {
			case got = <-offered:
			case err := <-ended:
				t.Fatalf("ended: %v", err)
			case <-time.After(time.Millisecond): // that one was not offered
			}
		}
	}
	near.CloseWrite()
	for {
		select {
		case <-offered:
		case err := <-ended:
			if err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
			return
		}
	}
}

func TestCloseWaitsForNoOffer(t *testing.T) {
	near, far := streamPair(t)
	inside, leave := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		for {
			c, err := far.NextOr(func(router.Class, [][]byte) int {
				close(inside)
				<-leave
				return 1
			})
			if err != nil {
				ended <- err
				return
			}
			c.Release() // it came before NextOr waited
		}
	}()
	for open := true; open; {
		near.Write([]byte("text"))
		select {
		case <-inside:
			open = false
		case <-time.After(time.Millisecond):
		}
	}
	far.Close()
	select {
	case err := <-ended:
		t.Errorf("NextOr returned while its offer was being called: %v", err)
	default:
	}
	close(leave)
	if err := <-ended; !errors.Is(err, router.ErrStreamClosed) {
		t.Errorf("after it: %v", err)
	}
}
