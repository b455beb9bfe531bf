//go:build !unix

package convert

import "time"

// cpuTime reports nothing: this is for benchmarks on Unix.
func cpuTime() time.Duration { return 0 }
