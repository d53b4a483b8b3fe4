package router

import "fakessh/router/pickle"

// downgrade makes a frame readable for peers that know only the legacy magic. Raw bytes become the pickled Blob that
// such peers expect in their place.
func downgrade(h *header, buf []byte) []byte {
	if h.magic == EncodingBinary {
		blob, err := pickle.Append(make([]byte, headerLen, len(buf)+64), pickle.Blob(buf[headerLen:]))
		if err == nil {
			putBuf(buf)
			buf, h.length = blob, uint32(len(blob)-headerLen)
		}
	}
	h.magic = EncodingLegacy
	putHeader(buf, h)
	return buf
}
