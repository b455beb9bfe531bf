package decode

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"alexnet/ingest/internal/realdata"
)

// TestBombs decodes the pictures that are made to exhaust memory with two
// Decoders at a time, in a process of its own, and looks at its peak memory.
func TestBombs(t *testing.T) {
	const inChild = "DECODE_BOMBS"
	if lib := os.Getenv(inChild); lib != "" {
		l := Find()
		if lib == None {
			l = Standard()
		}
		decodeBombs(t, l)
		return
	}
	if raceEnabled || testing.Short() {
		t.Skip("slow, and the race detector takes memory itself")
	}
	dir := realdata.Path(t, "odd-jpegs")
	libraries := map[string]string{"standard": None}
	if Find().turbo != nil {
		libraries["turbo"] = "found"
	}
	for name, lib := range libraries {
		t.Run(name, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			child := exec.Command(self, "-test.run=^TestBombs$", "-test.v")
			child.Env = append(os.Environ(), inChild+"="+lib, inChild+"_DIR="+dir)
			out, err := child.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			peak := child.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10
			t.Logf("peak memory %d MB", peak)
			if peak > 600 {
				t.Errorf("peak memory %d MB", peak)
			}
		})
	}
}

func decodeBombs(t *testing.T, l *Library) {
	budget := NewBudget(512 << 20)
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			d := Decoder{Library: l, Budget: budget, Enough: 256, Limits: Limits{MaxPixels: 200_000_000}}
			for _, name := range []string{"bomb-valid-rgb-10000x6000.jpg", "bomb-header-65500x65500.jpg", "bomb-valid-gray-12000x12000.jpg", "bomb-header-progressive-65500x65500.jpg"} {
				data, err := os.ReadFile(filepath.Join(os.Getenv("DECODE_BOMBS_DIR"), "gen-"+name))
				if err != nil {
					t.Error(err)
					return
				}
				m, err := d.Decode(data)
				t.Log(name, outcome(m, err), err)
				if (err == nil) != (strings.Contains(name, "rgb") || strings.Contains(name, "gray") && l.turbo != nil) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	wait.Wait()
}
