//go:build !unix && !windows

package main

import "time"

// cpuTime reports that this system does not tell.
func cpuTime() (time.Duration, bool) { return 0, false }
