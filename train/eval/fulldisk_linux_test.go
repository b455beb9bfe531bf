package eval

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// On a disk that is full there is no file, and no temporary.
func TestFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("no small disk to fill: mounting a tmpfs: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	ds, split := openVal(t, data)
	p, err := CreatePredictions(filepath.Join(dir, "p.jsonl"), ds, split, false)
	if err != nil {
		t.Fatal(err)
	}
	q := Prediction{Classes: []int{1, 2, 3, 4, 5}, Probabilities: make([]float64, 5)}
	for range 5000 {
		if err = p.Add(q); err != nil {
			break
		}
	}
	if err == nil {
		_, _, err = p.Commit()
	}
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "p.jsonl") {
		t.Errorf("error %v, want ENOSPC of p.jsonl", err)
	}
	if err := p.Abort(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
