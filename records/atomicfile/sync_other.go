//go:build windows || plan9 || js || wasip1

package atomicfile

// syncDir does nothing: these systems do not flush folders.
func syncDir(string) error { return nil }
