package bootstrap

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// Offer is a way to the agent past the tool that it was started by: an agent that was asked for it (Config.Offer) makes a pair of
// sequenced-packet sockets, leaves the token in one of them as a message, and tells in the ready line where a parent on
// the same kernel finds that one. A parent that can reach it sends through it one end of a link of its own making; the agent answers
// there with a byte. Either way the parent then writes its choice to the tool's stdin, one byte before the first frame.
//
// The names in an Offer are only claims. The token is what shows that the socket found is the one of the agent that speaks.
type Offer struct {
	PIDNS uint64 // inode number of the agent's pid namespace
	PID   int    // the agent's number there
	FD    int    // the socket's number in the agent
	Token [TokenSize]byte
}

// TokenSize is the length of an Offer's token, bytes.
const TokenSize = 16

// The parent's choice after an Offer.
const (
	ChooseStdio  byte = 's' // the link is stdin and stdout, as without an offer
	ChooseSocket byte = 'c' // the link is the socket that was sent; stdin's end is still the end
)

const offerCap = "socket="

// Capability is the offer as a word of the ready line: socket=PIDNS.PID.FD.TOKEN.
func (o *Offer) Capability() string {
	return offerCap + strconv.FormatUint(o.PIDNS, 10) + "." + strconv.Itoa(o.PID) + "." + strconv.Itoa(o.FD) + "." + hex.EncodeToString(o.Token[:])
}

// cutOffer takes the offer out of an agent's capabilities: what others are told has no token in it.
// A word that is no offer after all is left out too.
func cutOffer(caps []string) ([]string, *Offer) {
	var offer *Offer
	caps = slices.DeleteFunc(caps, func(word string) bool {
		text, ok := strings.CutPrefix(word, offerCap)
		if ok {
			offer = parseOffer(text)
		}
		return ok
	})
	return caps, offer
}

// parseOffer takes nothing that Capability would have written otherwise. nil means that it is no offer.
func parseOffer(text string) *Offer {
	words := strings.Split(text, ".")
	if len(words) != 4 {
		return nil
	}
	var o Offer
	o.PIDNS, _ = strconv.ParseUint(words[0], 10, 64)
	o.PID, _ = strconv.Atoi(words[1])
	o.FD, _ = strconv.Atoi(words[2])
	token, _ := hex.DecodeString(words[3])
	copy(o.Token[:], token)
	if o.PIDNS == 0 || o.PID <= 0 || o.FD < 0 || o.Capability() != offerCap+text { // the latter finds every error of the above
		return nil
	}
	return &o
}
