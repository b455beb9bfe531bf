package pipeline

import (
	"bytes"
	"runtime/pprof"
	"runtime/trace"
	"strings"
	"testing"
	"time"
)

// TestProfilesNameTheStages looks at the labels of a stream's goroutines.
func TestProfilesNameTheStages(t *testing.T) {
	ds, split := open(t, usual.write(t))
	p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 8, Crop: 9, Train: true, Epochs: 9, Depth: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	missing := func() (list []string) {
		var text strings.Builder
		if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
			t.Fatal(err)
		}
		has := func(stage string) bool { return strings.Contains(text.String(), `{"stage":"`+stage+`"}`) }
		for _, stage := range []string{"order", "ahead"} {
			if !has(stage) {
				list = append(list, stage)
			}
		}
		if !has("fetch") && !has("read") && !has("augment") { // a worker is in one of the three
			list = append(list, "workers")
		}
		return list
	}
	for begun := time.Now(); len(missing()) > 0; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("no goroutine has the label of %v", missing())
		}
	}
}

// TestTracesNameTheStages looks for a region of each stage in an execution trace.
func TestTracesNameTheStages(t *testing.T) {
	var log bytes.Buffer
	if err := trace.Start(&log); err != nil {
		t.Skipf("another trace is being taken: %v", err)
	}
	stream(t, usual.write(t), Options{Batch: 8, Crop: 9, Train: true, Epochs: 2})
	trace.Stop()
	for _, region := range []string{"order", "ahead", "fetch", "read", "augment"} {
		// A string of a trace is preceded by its length.
		if want := string(rune(len(region))) + region; !strings.Contains(log.String(), want) {
			t.Errorf("no region %q in the trace", region)
		}
	}
}
