package session

import (
	"os"
	"os/signal"
	"slices"
)

// Catch relays signals to c, but for those that this process was started to ignore, by nohup or in the background of a shell:
// signal.Notify would take them over all the same.
func Catch(c chan<- os.Signal, signals ...os.Signal) {
	heeded := slices.DeleteFunc(slices.Clone(signals), signal.Ignored)
	if len(heeded) > 0 { // Notify without any relays all there are
		signal.Notify(c, heeded...)
	}
}
