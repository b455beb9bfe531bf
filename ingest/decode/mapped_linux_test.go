package decode

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/edsrzf/mmap-go"
)

// TestMapped decodes from memory that is not Go's: a mapped file.
func TestMapped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "picture")
	if err := os.WriteFile(path, encodeJPEG(t, drawn(30, 20)), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := mmap.Map(f, mmap.RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Unmap()
	d := Decoder{Library: turboOrSkip(t)}
	for range 3 {
		m, err := d.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		check(t, m)
	}
}
