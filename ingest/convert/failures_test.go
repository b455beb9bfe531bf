package convert

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"alexnet/ingest/source"
)

// goesOn checks that a job that failed kept its finished shards and left no
// temporaries, and that it comes to the same end as if nothing had happened.
func goesOn(t *testing.T, cfg Config, failure error) {
	t.Helper()
	var stopped *StoppedError
	if !errors.As(failure, &stopped) || stopped.Shards != 6 {
		t.Fatalf("error %v is no *StoppedError of 6 shards", failure)
	}
	want := fmt.Sprintf("; %d of 6 shards are finished and kept in %s: run the same command again to go on", stopped.Done, cfg.Out)
	if !strings.HasSuffix(failure.Error(), want) {
		t.Errorf("error %q does not end with %q", failure, want)
	}
	if parts, _ := filepath.Glob(filepath.Join(cfg.Out, stateName, "*.part")); len(parts) != stopped.Done {
		t.Errorf("%d shards are finished, and the error says %d", len(parts), stopped.Done)
	}
	if temps, _ := filepath.Glob(filepath.Join(cfg.Out, "*.tmp-*")); len(temps) > 0 {
		t.Errorf("temporaries are left: %v", temps)
	}
	s := convert(t, cfg)
	if s.Files == 33 && stopped.Done > 0 {
		t.Error("the finished shards were made again")
	}
	undisturbed := cfg
	undisturbed.Out = filepath.Join(t.TempDir(), "undisturbed")
	convert(t, undisturbed)
	sameTree(t, "after the failure", cfg.Out, undisturbed.Out)
}

// TestFailingDisk has a disk that gives an I/O error after some reads, also
// where each file is a reject away from the limit.
func TestFailingDisk(t *testing.T) {
	src := smallSource(t)
	var reads atomic.Int64
	cfg := config(&wrapped{src, func(it *source.Item) error {
		if reads.Add(1) > 40 {
			return &source.IOError{File: it.Key, Err: syscall.EIO, Hint: "check the disk"}
		}
		return nil
	}}, filepath.Join(t.TempDir(), "out"))
	cfg.Jobs, cfg.MaxRejects = 1, 1
	cfg.BaselineSample = 20 // their files are read twice
	_, err := Run(context.Background(), cfg)
	if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), ": input/output error; check the disk; ") {
		t.Fatalf("error %v", err)
	}
	cfg.Source = src
	goesOn(t, cfg, err)
}

// TestFileVanishes removes a file of the source after it was listed.
func TestFileVanishes(t *testing.T) {
	dir := folder(t, small())
	src := open(t, dir, source.Options{})
	items := src.Splits()[1].Items
	gone := filepath.Join(dir, "val", items[4].Key)
	data, err := os.ReadFile(gone)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	cfg := config(src, filepath.Join(t.TempDir(), "out"))
	cfg.Jobs, cfg.MaxRejects = 1, 1
	_, failure := Run(context.Background(), cfg)
	if !errors.Is(failure, fs.ErrNotExist) || !strings.Contains(failure.Error(), gone+": no such file or directory; check that the file is there and may be read; ") {
		t.Fatalf("error %v", failure)
	}
	if err := os.WriteFile(gone, data, 0o666); err != nil {
		t.Fatal(err)
	}
	goesOn(t, cfg, failure)
}

// TestForbiddenFile has a file that this user may not read.
func TestForbiddenFile(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything; TestUnreadable stands in for it")
	}
	dir := folder(t, small())
	src := open(t, dir, source.Options{})
	closed := filepath.Join(dir, "val", src.Splits()[1].Items[4].Key)
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	cfg := config(src, filepath.Join(t.TempDir(), "out"))
	cfg.Jobs = 1
	_, err := Run(context.Background(), cfg)
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), closed+": permission denied; ") {
		t.Fatalf("error %v", err)
	}
	if err := os.Chmod(closed, 0o644); err != nil {
		t.Fatal(err)
	}
	goesOn(t, cfg, err)
}

// TestOutputVanishes removes the output while it is written. Nothing of it can
// be kept, but the error names it, and the same command makes it anew.
func TestOutputVanishes(t *testing.T) {
	src := smallSource(t)
	cfg := config(src, filepath.Join(t.TempDir(), "out"))
	cfg.Jobs = 1
	removed := false
	cfg.Progress = func(p Progress) {
		if p.Phase == PhaseConvert && p.Shards == 2 && !removed {
			removed = true
			if err := os.RemoveAll(cfg.Out); err != nil {
				t.Error(err)
			}
		}
	}
	_, err := Run(context.Background(), cfg)
	var stopped *StoppedError
	if !removed || !errors.As(err, &stopped) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), cfg.Out+string(filepath.Separator)) {
		t.Fatalf("error %v", err)
	}
	cfg.Progress = nil
	if s := convert(t, cfg); s.Files != 33 {
		t.Errorf("%d files dealt with after the output was removed, want all 33", s.Files)
	}
	undisturbed := config(src, filepath.Join(t.TempDir(), "undisturbed"))
	convert(t, undisturbed)
	sameTree(t, "after the output was removed", cfg.Out, undisturbed.Out)
}

// TestStrict stops at the first reject, keeps what is done, and goes on when
// told not to be strict.
func TestStrict(t *testing.T) {
	dir := folder(t, small())
	bad := damage(t, dir, "val/*0005.JPEG", []byte("<html>not found</html>"))
	src := open(t, dir, source.Options{})
	cfg := config(src, filepath.Join(t.TempDir(), "out"))
	cfg.Jobs, cfg.Strict = 1, true
	_, err := Run(context.Background(), cfg)
	var stopped *StoppedError
	want := "val " + bad + " rejected (--strict): not-an-image: neither JPEG, PNG nor netpbm: it starts with 3c 68 74 6d; "
	if !errors.As(err, &stopped) || !strings.HasPrefix(err.Error(), want) || stopped.Done < 4 {
		t.Fatalf("error %v, want %q and the 4 shards of train", err, want)
	}
	cfg.Strict = false
	goesOn(t, cfg, err)
}
