package cli

import (
	"os"
	"runtime"
)

// spareProcessors is one for the goroutines between those in C, which write what
// these make, and one to be idle.
const spareProcessors = 2

// SpareProcessors lets Go run two more goroutines at a time than there are
// processors, unless the user has said how many with GOMAXPROCS, and returns a
// function that takes it back.
//
// It is for commands whose goroutines are in C for a millisecond at a time. When
// all processors of the runtime are held by such calls, its monitor wakes every
// 20 microseconds to take one away, which cost a tenth of the CPU time of
// ingest; with one that is idle it sleeps.
func SpareProcessors() (restore func()) {
	if os.Getenv("GOMAXPROCS") != "" {
		return func() {}
	}
	n := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(n + spareProcessors)
	return func() { runtime.GOMAXPROCS(n) }
}
