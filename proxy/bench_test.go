package proxy

import "testing"

// BenchmarkLogin is a fresh login of the real client, with a command that does nothing. 40 ms more than a few of them is a
// delayed acknowledgement.
func BenchmarkLogin(b *testing.B) {
	g := startGateway(b)
	for b.Loop() {
		if got := run(b, g.ssh("-o", "KexAlgorithms=curve25519-sha256", "web1@gw", "true")); got.status != 0 {
			b.Fatalf("%+v", got)
		}
	}
}
