// Package methodtest is the conformance suite of connection methods: what Dial promises, run against any of them.
//
//	Run ──► Dial ──► stub tool ──► what a Case makes of it ──► first stage ──► image: says ready, echoes
//	                  │ writes its arguments down
//	                  └ prints, asks, hangs or dies first, as the behaviour under test wants
//
// A method's own test file has a table of argument lists and one call of Run. The stub stands in for the tool, the shell
// behind it is a real one, and so is the bootstrap; the image is a shell script. Nothing outside the test's directory is touched.
package methodtest
