package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"alexnet/pipeline"
	"alexnet/records/filelock"
)

func lines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(string(data), "\n")
}

func TestLineKeys(t *testing.T) {
	text, err := json.Marshal(Line{Event: EpochEvent, Step: 10, Epoch: 1, LR: 0.01, Images: 640, Loss: 2.5, Top1: .25, Top5: .5,
		ImagesPerSecond: 100, WaitShare: .125, Skipped: 3, Loader: &Loader{Limit: pipeline.LimitDisk, WaitShare: .125,
			Busy: Busy{Order: .25, Fetch: .5, Read: .0625, Augment: .125}, Ready: 1.5, DiskBytesPerSecond: 4e21, Possible: 800,
			Skipped: 1, Verdict: "the disk is the limit"}, Val: &Val{Images: 27, Loss: 2, Top1: .5, Top5: 1}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"event":"epoch","step":10,"epoch":1,"lr":0.01,"images":640,"loss":2.5,"top1":0.25,"top5":0.5,` +
		`"images_per_second":100,"wait_share":0.125,"skipped":3,` +
		`"loader":{"limit":"disk","wait_share":0.125,"busy":{"order":0.25,"fetch":0.5,"read":0.0625,"augment":0.125},"ready_batches":1.5,` +
		`"disk_bytes_per_second":4e+21,"possible_images_per_second":800,"skipped":1,"verdict":"the disk is the limit"},"val_images":27,"val_loss":2,"val_top1":0.5,"val_top5":1}`
	if string(text) != want {
		t.Errorf("line is\n%s, want\n%s", text, want)
	}
	if text, _ = json.Marshal(Line{Event: StepEvent}); strings.Contains(string(text), "val_") || strings.Contains(string(text), "loader") {
		t.Errorf("a step line has keys of what it has not: %s", text)
	}
}

// A run of a program that knew nothing of loaders or skipped records goes on.
func TestOldMetrics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	old := `{"event":"step","step":3,"epoch":1,"lr":0.01,"images":12,"loss":1.5,"top1":0.25,"top5":0.75,"images_per_second":900,"wait_share":0.5}` + "\n" +
		`{"event":"epoch","step":5,"epoch":1,"lr":0.01,"images":18,"loss":1.25,"top1":0.5,"top5":1,"images_per_second":900,"wait_share":0.5,"val_images":12,"val_loss":1,"val_top1":0.5,"val_top5":1}` + "\n"
	if err := os.WriteFile(path, []byte(old), 0o666); err != nil {
		t.Fatal(err)
	}
	m, err := OpenMetrics(path, func(l Line) bool { return l.Loader == nil && l.Skipped == 0 })
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Append(Line{Event: StepEvent, Step: 6, Skipped: 1, Loader: &Loader{}}), m.Close()); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, path); strings.Join(got[:2], "") != old || len(got) != 4 || !strings.Contains(got[2], `"skipped":1,"loader":{`) {
		t.Errorf("file is\n%s", strings.Join(got, ""))
	}
}

func TestMetricsAreCutAtTheCheckpoint(t *testing.T) {
	upTo := func(step int) func(Line) bool { return func(l Line) bool { return l.Step <= step } }
	write := func(t *testing.T, path string) {
		m, err := OpenMetrics(path, upTo(0))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range []Line{{Event: StepEvent, Step: 2}, {Event: StepEvent, Step: 4}, {Event: EpochEvent, Step: 4}, {Event: StepEvent, Step: 6}} {
			if err := m.Append(l); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(m.Sync(), m.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name, tail string
		step, kept int
	}{
		{"nothing later", "", 6, 4},
		{"a later step", "", 5, 3},
		{"the epoch's line has the step of the checkpoint", "", 4, 3},
		{"all", "", 1, 0},
		{"a torn line", `{"event":"step","step":8,"lo`, 9, 4},
		{"a whole object without its newline", `{"event":"step","step":8}`, 9, 4},
		{"a torn line after later steps", `{"event`, 3, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "metrics.jsonl")
			write(t, path)
			before := lines(t, path)
			f, _ := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			f.WriteString(tc.tail)
			f.Close()
			m, err := OpenMetrics(path, upTo(tc.step))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if err := m.Append(Line{Event: StepEvent, Step: 99}); err != nil {
				t.Fatal(err)
			}
			got := lines(t, path)
			if len(got) != tc.kept+2 || strings.Join(got[:tc.kept], "") != strings.Join(before[:tc.kept], "") || !strings.Contains(got[tc.kept], `"step":99`) {
				t.Errorf("file after reopening at step %d:\n%s", tc.step, strings.Join(got, ""))
			}
		})
	}
}

func TestMalformedMetricsAreLeftAlone(t *testing.T) {
	for _, middle := range []string{"\x00\x00\x00\n", "{}\n", "[1]\n"} {
		path := filepath.Join(t.TempDir(), "metrics.jsonl")
		text := `{"event":"step","step":1}` + "\n" + middle + `{"event":"step","step":3}` + "\n"
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := OpenMetrics(path, func(Line) bool { return true })
		var malformed *MalformedError
		if !errors.As(err, &malformed) || malformed.Line != 2 || !strings.Contains(err.Error(), path+": line 2 is not a line of metrics") {
			t.Errorf("%q in the middle: error %v", middle, err)
		}
		if got, _ := os.ReadFile(path); string(got) != text {
			t.Errorf("the file was changed to %q", got)
		}
	}
}

func TestMetricsInAMissingFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "metrics.jsonl")
	if _, err := OpenMetrics(path, nil); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}

func TestWriteJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	for _, v := range []map[string]int{{"batch": 128}, {"batch": 64}} {
		if err := WriteJSON(path, v); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := os.ReadFile(path); string(got) != "{\n  \"batch\": 64\n}\n" {
		t.Errorf("file is %q", got)
	}
	if err := WriteJSON(path, func() {}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not name the file", err)
	}
}

var status = Status{Epoch: 3, Epochs: 10, Step: 120, StepsPerEpoch: 147, Loss: 1.93256, Top1: .4126, ImagesPerSecond: 312.4, WaitShare: .014,
	Left: 130*time.Second + 400*time.Millisecond}

const statusText = "epoch 3/10  step 120/147  loss 1.9326  top-1 41.3 %  312 images/s  waiting for data 1 %  2m10s left"

func TestStatusText(t *testing.T) {
	if got := status.String(); got != statusText {
		t.Errorf("line is %q", got)
	}
	slow := Status{ImagesPerSecond: 0.52, Left: 30*time.Hour + 59*time.Second}
	if got := slow.String(); !strings.Contains(got, "0.5 images/s") || !strings.HasSuffix(got, "  30h01m left") {
		t.Errorf("line is %q", got)
	}
}

// The line says what the training waits for, when it does, and what was left out.
func TestStatusWhileWaiting(t *testing.T) {
	for _, tc := range []struct {
		limit   pipeline.Limit
		disk    float64
		skipped int
		want    string
	}{
		{pipeline.LimitConsumer, 410e6, 0, "waiting for data 38 %  2m10s left"},
		{pipeline.LimitDisk, 410.4e6, 0, "waiting for data 38 % (disk, 410 MB/s)  2m10s left"},
		{pipeline.LimitDisk, 3.21e6, 0, "waiting for data 38 % (disk, 3.2 MB/s)  2m10s left"},
		{pipeline.LimitDisk, 0, 0, "waiting for data 38 % (disk)  2m10s left"},
		{pipeline.LimitAugment, 410e6, 7, "waiting for data 38 % (augment)  7 skipped  2m10s left"},
		{"", 0, 1, "waiting for data 38 %  1 skipped  2m10s left"},
	} {
		s := status
		s.WaitShare, s.Limit, s.DiskBytesPerSecond, s.Skipped = .38, tc.limit, tc.disk, tc.skipped
		if got := s.String(); !strings.HasSuffix(got, "312 images/s  "+tc.want) {
			t.Errorf("line is %q, want %q at its end", got, tc.want)
		}
	}
}

func TestProgressIntoAFile(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out)
	p.Show(status, false)
	p.Show(status, true)
	p.Print("validation\n")
	p.drawn = time.Now().Add(-lineEvery)
	p.Show(status, false) // the first for long
	p.Show(status, false)
	p.Done()
	if got := out.String(); got != statusText+"\nvalidation\n"+statusText+"\n" {
		t.Errorf("output %q", got)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := &Progress{w: &out, width: func() int { return 12 }}
	p.Show(status, false)
	p.drawn = time.Now().Add(time.Hour)
	p.Show(status, true) // too soon to redraw
	p.Print("validation")
	p.draw("epoch")
	p.Done()
	p.Done()
	if got, want := out.String(), "\repoch 3/10 \x1b[K\r\x1b[Kvalidation\n\repoch\x1b[K\n"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
}

// Whatever the file holds, what is kept of it is whole lines and is kept again.
func FuzzMetrics(f *testing.F) {
	f.Add([]byte(`{"event":"step","step":1}`+"\n"+`{"event":"epoch","step":4,"val_top1":0.5}`+"\n"+`{"ev`), 3)
	f.Add([]byte("{}\n"), 1)
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		keep := func(l Line) bool { return l.Step <= step }
		end, err := endOf(bytes.NewReader(data), "fuzz", keep)
		if err != nil {
			return
		}
		if end > int64(len(data)) || end > 0 && data[end-1] != '\n' {
			t.Fatalf("cut at %d of %q", end, data)
		}
		if again, err := endOf(bytes.NewReader(data[:end]), "fuzz", keep); err != nil || again != end {
			t.Fatalf("cut at %d, then at %d, error %v", end, again, err)
		}
	})
}

// Two processes that train one run would undo each other's work: the second is refused,
// and changes nothing.
func TestMetricsOfARunThatIsBeingTrained(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no locks that end with the process")
	}
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	open := func() (*Metrics, error) { return OpenMetrics(path, func(Line) bool { return false }) }
	first, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Append(Line{Event: StepEvent, Step: 1}); err != nil {
		t.Fatal(err)
	}
	var busy *BusyError
	if _, err := open(); !errors.As(err, &busy) || !errors.Is(err, filelock.ErrLocked) || err.Error() != path+": another process is training this run; wait for it, or use another run's folder" {
		t.Errorf("error %v", err)
	}
	if got := lines(t, path); len(got) != 2 {
		t.Errorf("%d lines are left of the first process's", len(got)-1)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := open()
	if err != nil {
		t.Fatalf("when the first has ended: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}
