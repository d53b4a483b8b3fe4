package bootstrap

import (
	"bytes"
	"context"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var sampleOffer = Offer{PIDNS: 4026531836, PID: 17, FD: 6, Token: [TokenSize]byte{0, 1, 0xfe, 15: 0xff}}

const sampleCap = "socket=4026531836.17.6.0001fe000000000000000000000000ff"

func TestOfferIsACapability(t *testing.T) {
	if got := sampleOffer.Capability(); got != sampleCap {
		t.Errorf("Capability is %s", got)
	}
	caps, offer := cutOffer([]string{"a", sampleCap, "b"})
	if !slices.Equal(caps, []string{"a", "b"}) || offer == nil || *offer != sampleOffer {
		t.Errorf("cut into %q and %+v", caps, offer)
	}
	for _, bad := range []string{
		"", "1.2.3", "1.2.3.", "1.2.3.4.5", "x" + sampleCap[7:], sampleCap[7:] + "0", strings.ToUpper(sampleCap[7:]),
		strings.Replace(sampleCap[7:], ".17.", ".0.", 1), strings.Replace(sampleCap[7:], "4026531836", "0", 1), strings.Replace(sampleCap[7:], ".17.", ".-17.", 1),
		strings.Replace(sampleCap[7:], ".6.", ".06.", 1), strings.Replace(sampleCap[7:], ".6.", ".-1.", 1),
		strings.Replace(sampleCap[7:], "4026531836", "99999999999999999999999", 1),
	} {
		if caps, offer := cutOffer([]string{"socket=" + bad}); offer != nil || len(caps) != 0 {
			t.Errorf("%q is taken for %+v, and leaves %q", bad, offer, caps)
		}
	}
}

// Only who has asked for an offer gets it: nobody else would write the choice that the agent waits for.
func TestStartGivesTheOfferThatWasAskedFor(t *testing.T) {
	for _, asked := range []bool{true, false} {
		var said bytes.Buffer
		if err := Announce(&said, "1", []string{"a", sampleCap}); err != nil {
			t.Fatal(err)
		}
		rw := struct {
			io.Reader
			io.Writer
		}{&said, io.Discard}
		ready, err := Start(context.Background(), rw, nil, Config{Offer: asked}, Options{Direct: true})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(ready.Caps, []string{"a"}) || (ready.Offer != nil) != asked {
			t.Errorf("asked %v: capabilities %q, offer %+v", asked, ready.Caps, ready.Offer)
		}
	}
}

func FuzzParseOffer(f *testing.F) {
	f.Add(sampleCap[len(offerCap):])
	f.Add("0.1.0.")
	f.Add("...")
	f.Fuzz(func(t *testing.T, text string) {
		offer := parseOffer(text)
		if offer == nil {
			return
		}
		if offer.Capability() != offerCap+text || offer.PID <= 0 || offer.FD < 0 {
			t.Errorf("%q is read as %+v", text, offer)
		}
	})
}
