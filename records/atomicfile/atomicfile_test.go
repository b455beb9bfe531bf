package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// names returns the names of all files in a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// content returns the content of a file.
func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWriteReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	for _, text := range []string{"first", "second, longer", ""} {
		if err := Write(path, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != text {
			t.Errorf("the file holds %q, want %q", got, text)
		}
	}
	if got := names(t, dir); !slices.Equal(got, []string{"a.txt"}) {
		t.Errorf("left in the folder: %q", got)
	}
}

func TestFileIsInvisibleUntilCommit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	got := names(t, dir)
	if len(got) != 1 || !IsTemp(got[0]) || !strings.HasPrefix(got[0], "a.txt.tmp-") {
		t.Errorf("before Commit there is %q, want a temporary only", got)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := f.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"a.txt"}) {
		t.Errorf("after Commit there is %q", got)
	}
	if _, err := f.Write([]byte("y")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Write after Commit: %v", err)
	}
	if err := f.Commit(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("second Commit: %v", err)
	}
	if runtime.GOOS != "windows" {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		plain := filepath.Join(dir, "plain")
		if err := os.WriteFile(plain, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		want, err := os.Stat(plain)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want.Mode() {
			t.Errorf("the file has mode %v, other new files %v", info.Mode(), want.Mode())
		}
	}
}

func TestFailureLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no more")
	err := Write(path, func(w io.Writer) error {
		for range 100000 { // past every buffer
			if _, err := io.WriteString(w, "new"); err != nil {
				return err
			}
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want the one of fill", err)
	}
	if got := content(t, path); got != "old" {
		t.Errorf("the file holds %.20q", got)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"a.txt"}) {
		t.Errorf("left in the folder: %q", got)
	}
}

func TestCommitThatFailsRemovesTheTemporary(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o777); err != nil {
		t.Fatal(err)
	}
	err := Write(path, func(io.Writer) error { return nil })
	var link *os.LinkError
	if !errors.As(err, &link) || !strings.HasPrefix(err.Error(), "finishing "+path+": ") {
		t.Errorf("error %v, want one of the rename", err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"taken"}) {
		t.Errorf("left in the folder: %q", got)
	}
}

func TestMissingFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "a.txt")
	err := Write(path, func(io.Writer) error { return nil })
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "creating "+path) {
		t.Errorf("error %v", err)
	}
}

func TestPossible(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old")
	if err := os.WriteFile(old, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		filepath.Join(dir, "new"):       nil,
		old:                             nil,
		filepath.Join(dir, "no", "new"): fs.ErrNotExist,
		dir:                             fs.ErrExist,
	} {
		if err := Possible(path); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	entries, err := os.ReadDir(dir)
	text, readErr := os.ReadFile(old)
	if err != nil || readErr != nil || len(entries) != 1 || string(text) != "old" {
		t.Errorf("%v, %q, %v, %v; want the old file alone", entries, text, err, readErr)
	}
}

// A temporary that another process left, or is writing, is not touched.
func TestTemporariesOfOthersStay(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	other := fmt.Sprintf("%s.tmp-%d-0", path, os.Getpid())
	if err := os.WriteFile(other, []byte("other"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, func(w io.Writer) error { _, err := io.WriteString(w, "mine"); return err }); err != nil {
		t.Fatal(err)
	}
	if content(t, path) != "mine" || content(t, other) != "other" {
		t.Error("the two got mixed up")
	}
}

// TestCommitNew has two first ones of a name: the second must not replace the
// other, and must leave nothing.
func TestCommitNew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	var files [2]*File
	for i := range files {
		var err error
		if files[i], err = Create(path); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprint(files[i], i); err != nil {
			t.Fatal(err)
		}
	}
	if files[0].f.Name() == files[1].f.Name() {
		t.Fatal("two temporaries have one name")
	}
	if err := files[1].CommitNew(); err != nil {
		t.Fatal(err)
	}
	if err := files[0].CommitNew(); !errors.Is(err, fs.ErrExist) || !strings.HasPrefix(err.Error(), "finishing "+path+": ") {
		t.Errorf("error %v, want that the file exists", err)
	}
	if got := names(t, dir); content(t, path) != "1" || !slices.Equal(got, []string{"a.txt"}) {
		t.Errorf("%q in %q", content(t, path), got)
	}
}

func TestIsTemp(t *testing.T) {
	for name, want := range map[string]bool{
		"a.arrow.tmp-12-0":              true,
		"out/train-0.arrow.tmp-12-34":   true,
		"a.arrow":                       false,
		"a.arrow.tmp-":                  false,
		"a.tmp-notes.txt":               false,
		"out.tmp-1-1/train-00000.arrow": false,
	} {
		if got := IsTemp(name); got != want {
			t.Errorf("IsTemp(%q) = %t", name, got)
		}
	}
}
