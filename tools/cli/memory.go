package cli

import (
	"os"
	"runtime/debug"
)

// CollectEarly has the garbage collector run when the heap has grown by a quarter, not
// when it has doubled, unless GOGC says something. It is for commands whose memory is a
// few large buffers of numbers, which cost nothing to look through: there garbage comes
// in hundreds of megabytes, such as the batches of a validation that is over.
func CollectEarly() {
	const percent = 25
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}
