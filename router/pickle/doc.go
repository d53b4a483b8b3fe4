// Package pickle is the profile of Python's pickle protocol 2 that Mitogen
// peers exchange: an allow-list of types, enforced while decoding.
//
//	bytes ──Decode──► nil bool int64 *big.Int float64 string []byte
//	                  Tuple *List *Dict Kwargs Blob Secret
//	                  ContextRef SenderRef CallError
//	bytes ◄─Append──  the same, and Go's own ints, slices and maps
//
// A pickle is a program for a small stack machine, and it comes from a peer
// that may be hostile. Decode knows only the opcodes and globals of the
// profile, refuses a global when its name is read, checks every length against
// what is left, and bounds the stack, the memo, the depth and the size of the
// value with all its sharing undone. A value that contains itself is refused
// as too deep: nobody who walks a decoded value can run for ever.
//
// A decoded value never aliases the input, which may be reused at once.
package pickle
