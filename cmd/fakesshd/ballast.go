package main

import "runtime"

// ballast is how much the collector takes for used, bytes. It collects when the heap has doubled: without this a busy gateway, which holds
// little but makes much (an SSH library's packets), would be collected several hundred times for a GiB. No page of it is ever touched,
// so it is no memory; and a large heap is collected as ever.
const ballast = 16 << 20

// withBallast runs f.
func withBallast(f func() error) error {
	b := make([]byte, ballast)
	defer runtime.KeepAlive(&b)
	return f()
}
