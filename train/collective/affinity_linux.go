package collective

import "golang.org/x/sys/unix"

// affinity returns the processors that a process may use, this one if pid is 0.
func affinity(pid int) (m mask) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(pid, &set) != nil {
		return m // none: that is not known
	}
	for i := range 8 * len(m) {
		if set.IsSet(i) {
			m[i/8] |= 1 << (i % 8)
		}
	}
	return m
}
