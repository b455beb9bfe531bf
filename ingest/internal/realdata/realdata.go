// Package realdata finds, for the tests of ingest, the real photographs and tables
// that may lie beside the repository. None of them is part of the project, and the
// tests are complete without them on pictures that they draw.
package realdata

import (
	"os"
	"path/filepath"
	"testing"
)

// Path returns where name, a file or a folder with slashes, lies in ../shared/data
// beside the repository. It skips the test, and says why, when it is not there.
func Path(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(filepath.Dir(dir), "shared", "data", filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no ../shared/data/%s beside the repository", name)
	}
	return path
}
