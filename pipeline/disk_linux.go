package pipeline

import (
	"bytes"
	"os"
)

// diskKnown says whether a diskCounter tells anything.
const diskKnown = true

// diskCounter tells how many bytes the kernel has fetched from storage for this
// process, readahead included. It does not allocate: while a disk is read it is
// asked with every batch. It is not safe for concurrent use.
type diskCounter struct {
	file *os.File // nil where the kernel does not tell
	text [512]byte
}

// openDiskCounter opens it.
func openDiskCounter() *diskCounter {
	file, err := os.Open("/proc/self/io")
	if err != nil {
		file = nil
	}
	return &diskCounter{file: file}
}

// bytes returns the number so far, 0 where it is not known.
func (d *diskCounter) bytes() (n int64) {
	if d.file == nil {
		return 0
	}
	size, _ := d.file.ReadAt(d.text[:], 0) // it has some 120, and then ends
	_, rest, found := bytes.Cut(d.text[:size], []byte("\nread_bytes: "))
	for i := 0; found && i < len(rest) && rest[i] >= '0' && rest[i] <= '9'; i++ {
		n = 10*n + int64(rest[i]-'0')
	}
	return n
}

// close closes it.
func (d *diskCounter) close() {
	if d.file != nil {
		d.file.Close()
	}
}
