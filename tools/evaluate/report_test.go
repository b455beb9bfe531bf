package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	_ "image/jpeg" // pictures of the page
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"alexnet/tools/cli"
	"alexnet/train/checkpoint"
	"alexnet/train/eval"
	"alexnet/train/report"
)

// addMetrics writes the metrics of a run of three epochs.
func addMetrics(t *testing.T, run string) {
	t.Helper()
	m, err := report.OpenMetrics(filepath.Join(run, metricsName), func(report.Line) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	for step := 10; step <= 60; step += 10 {
		line := report.Line{Event: report.StepEvent, Step: step, Epoch: (step + 19) / 20, LR: 0.01, Images: 100, Loss: 60 / float64(step), Top1: 0.5}
		if step > 40 {
			line.LR = 0.001
		}
		if err := m.Append(line); err != nil {
			t.Fatal(err)
		}
		if step%20 == 0 {
			line.Event, line.Val = report.EpochEvent, &report.Val{Images: 9, Loss: 1.5, Top1: float64(step) / 100, Top5: 1}
			if err := m.Append(line); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// embeddedPicture finds the pictures of a page.
var embeddedPicture = regexp.MustCompile(`<img [^>]*src="data:image/(?:png|jpeg);base64,([^"]+)"`)

// The page has all sections, all pictures in itself, and the numbers that evaluate
// prints.
func TestReport(t *testing.T) {
	d := data
	d.Train, d.Val = 20, 12
	ds := dataset(t, d)
	run, files := checkpoints(t, ds, 1, 11, 12)
	addMetrics(t, run)
	dir := filepath.Join(t.TempDir(), "new", "report")
	status, out, errs := command(t, "--records", ds.Dir, "--checkpoint", files[1], "--checkpoint", files[0], "--report", dir, "--pictures", "3", "--png", filepath.Join(dir, "guesses.png"), "--neighbours", "2", "--json")
	var got answer
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != cli.Done {
		t.Fatalf("status %d, %v: %s", status, err, errs)
	}
	page := filepath.Join(dir, "index.html")
	if got.Report != page || !strings.Contains(errs, "report: "+page) {
		t.Errorf("the report is %q: %s", got.Report, errs)
	}
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	drawn, err := os.ReadFile(filepath.Join(dir, "guesses.png"))
	if err != nil {
		t.Fatal(err)
	}
	if img, err := png.DecodeConfig(bytes.NewReader(drawn)); err != nil || img.Width != 8+3*(200+16) { // as figure.Guesses says
		t.Errorf("the guesses are drawn as %+v (%v)", img, err)
	}
	text := string(content)
	in := got.Shares.Top1Interval
	for _, want := range []string{
		"<h1>2 nets, averaged, on val</h1>", fmt.Sprintf(`<b id="top1">%.2f %%</b><span class="soft">(%.2f–%.2f)`, 100*got.Shares.Top1Error, 100*in[0], 100*in[1]),
		files[0], files[1], `<td>averaged</td>`, `<a href="#neighbours">`, `<a href="#curves">`, `id="per-class"`, "alexnet-small: input 3×64×64", "<th>total</th>",
		`class="line-1"`, "rate 0.001", "kernels of", "vectors of features, the output of layer fc7 of alexnet-small",
		`n00000003`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(text, "ZgotmplZ") || strings.Contains(text, "http://") || strings.Contains(text, "https://") {
		t.Error("the page has something that the template refused, or an address")
	}
	pictures := embeddedPicture.FindAllStringSubmatch(text, -1)
	if want := 3 + 2*7 + 2; len(pictures) != want || strings.Count(text, "<img ") != want {
		t.Errorf("%d pictures of %d in the page, want %d", len(pictures), strings.Count(text, "<img "), want)
	}
	for i, p := range pictures {
		if _, _, err := image.Decode(base64.NewDecoder(base64.StdEncoding, strings.NewReader(strings.ReplaceAll(p[1], "&#43;", "+")))); err != nil {
			t.Errorf("picture %d: %v", i, err)
		}
	}
	if n := strings.Count(text, `<div class="bar right">`); n != 3 { // of four classes
		t.Errorf("%d right bars of 3", n)
	}
	// Another net's report may take its place, as when a run has gone on.
	if status, _, errs := command(t, "--records", ds.Dir, "--checkpoint", files[0], "--report", dir, "--neighbours", "1"); status != cli.Done {
		t.Errorf("another net: status %d, %s", status, errs)
	}
}

// Names from the data cannot become markup.
func TestReportEscapes(t *testing.T) {
	ds := dataset(t, data)
	ds.Manifest.Classes[1].Words = `<script>alert(1)</script>"'&, and more`
	g := &gallery{}
	p, err := newPage(ds, answerOf(&eval.Report{Result: eval.Result{Split: "val", Images: 1}, Classes: make([]eval.Result, 4), Confusion: eval.Confusion{{Label: 1, Predicted: 2}: 1},
		Singles: []eval.Result{{Images: 1}}}, ds.Manifest, []string{"a<b>"}, []string{"c<d>"}, 5), nil, g)
	if err != nil {
		t.Fatal(err)
	}
	file, err := p.write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script>alert", "a<b>", "c<d>"} {
		if strings.Contains(string(text), bad) {
			t.Errorf("%s is in the page as it is", bad)
		}
	}
	if !strings.Contains(string(text), "&lt;script&gt;alert(1)&lt;/script&gt;") || !strings.Contains(string(text), "a&lt;b&gt;") {
		t.Error("a name is not in the page")
	}
}

// A split without labels has a report too: without errors and classes.
func TestReportUnlabelled(t *testing.T) {
	d := data
	d.Unlabelled = true
	ds := dataset(t, d)
	_, files := checkpoints(t, ds, 0, 11)
	dir := t.TempDir()
	status, _, errs := command(t, "--records", ds.Dir, "--checkpoint", files[0], "--report", dir, "--predictions", filepath.Join(dir, "p.jsonl"))
	if status != cli.Done {
		t.Fatal(errs)
	}
	text, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	if s := string(text); strings.Contains(s, `id="top1"`) || strings.Contains(s, `id="per-class"`) || strings.Contains(s, `id="curves"`) || strings.Contains(s, "0.0000") || !strings.Contains(s, "9 without a label") || strings.Count(s, `class="bar"`) != 8*4 {
		t.Errorf("%d bars in\n%s", strings.Count(s, `class="bar"`), regexp.MustCompile(`base64,[^"]*`).ReplaceAllString(s, ""))
	}
}

func TestReportRefused(t *testing.T) {
	ds := dataset(t, data)
	run, _ := checkpoints(t, ds, 0, 11)
	taken := filepath.Join(t.TempDir(), "taken")
	if err := os.WriteFile(taken, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"--pictures and --neighbours must not be negative": {"--pictures=-1"},
		"--neighbours is for a report":                     {"--neighbours", "2"},
		"report: mkdir " + taken:                           {"--report", taken},
		"--png: creating " + taken + "/x.png":              {"--png", filepath.Join(taken, "x.png")},
		`has no split "test"`:                              {"--report", t.TempDir(), "--neighbours", "1", "--from", "test"},
		`net alexnet-small: there is no layer "fc9"`:       {"--report", t.TempDir(), "--neighbours", "1", "--layer", "fc9"},
	} {
		if status, out, errs := command(t, append(args, "--records", ds.Dir, "--checkpoint", run)...); status == cli.Done || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%v: status %d, %s%s, want %q", args, status, out, errs, want)
		}
	}
}

// What was measured is printed, although the page cannot be made.
func TestReportFails(t *testing.T) {
	ds := dataset(t, data)
	run, _ := checkpoints(t, ds, 0, 11)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "features"), nil, 0o666); err != nil { // where a folder must be
		t.Fatal(err)
	}
	args := []string{"--records", ds.Dir, "--checkpoint", run, "--report", dir, "--neighbours", "1"}
	status, out, errs := command(t, args...)
	if status != cli.Failed || !strings.Contains(out, "top-1 error") || !strings.Contains(errs, "mkdir "+filepath.Join(dir, "features")) {
		t.Errorf("status %d, %s%s", status, out, errs)
	}
	if status, out, _ := command(t, append(args, "--json")...); status != cli.Failed || !strings.Contains(out, `"top1_error":`) || strings.Contains(out, `"report"`) {
		t.Errorf("status %d, %s", status, out)
	}
}

// Metrics that cannot be read are no reason to lose what was measured; those beside a
// file that was taken out of its run are of another.
func TestReportWithoutMetrics(t *testing.T) {
	ds := dataset(t, data)
	run, files := checkpoints(t, ds, 0, 11)
	curves := func(file string) (there bool, page string) {
		t.Helper()
		dir := t.TempDir()
		if status, _, errs := command(t, "--records", ds.Dir, "--checkpoint", file, "--report", dir); status != cli.Done {
			t.Fatal(errs)
		}
		text, err := os.ReadFile(filepath.Join(dir, "index.html"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), `id="curves"`), string(text)
	}
	if err := os.WriteFile(filepath.Join(run, metricsName), []byte("nonsense\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if there, page := curves(files[0]); !there || !strings.Contains(page, "line 1 is not a line of metrics") {
		t.Errorf("damaged metrics: curves %t, or no word about it", there)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	taken := filepath.Join(other, "folder", "taken.safetensors")
	if err := os.Mkdir(filepath.Dir(taken), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(taken, text, 0o666); err != nil {
		t.Fatal(err)
	}
	addMetrics(t, other)
	if there, _ := curves(taken); there {
		t.Error("curves of another run")
	}
}

// Curves are over epochs, and those of long runs thinned out.
func TestCurves(t *testing.T) {
	var lines []report.Line
	for step := 1; step <= 1000; step++ {
		lines = append(lines, report.Line{Event: report.StepEvent, Step: step, Epoch: 1 + (step-1)/500, LR: 0.1, Images: 2, Loss: float64(step)})
		if step%500 == 0 {
			lines = append(lines, report.Line{Event: report.EpochEvent, Step: step, Epoch: step / 500, LR: 0.1, Top1: 0.25, Val: &report.Val{Top1: 0.75, Loss: 3}})
		}
	}
	errs, losses := curves(lines, true)
	if s := losses.Series[0]; len(s.X) != 250 || s.X[0] != 4.0/500 || s.Y[0] != 2.5 || s.X[249] != 2 || s.Y[249] != 998.5 {
		t.Errorf("%d points of the loss, from (%g, %g)", len(s.X), s.X[0], s.Y[0])
	}
	for i, want := range [][]float64{{75, 75}, {25, 25}} {
		if s := errs.Series[i]; fmt.Sprint(s.Y) != fmt.Sprint(want) || fmt.Sprint(s.X) != "[1 2]" {
			t.Errorf("errors %v at %v, want %v", s.Y, s.X, want)
		}
	}
	if len(errs.Marks) > 0 {
		t.Errorf("marks %v of a constant rate", errs.Marks)
	}
	if errs, losses := curves(lines[:100], true); len(errs.Series[0].X)+len(losses.Series[0].X) > 0 {
		t.Error("curves of a run without an epoch")
	}
}

// Drops of the rate are marked where they are: at the end of the epoch before, also in a
// run that has lines of epochs only. Neither a warm-up nor a rate that falls from step to
// step is one.
func TestMarks(t *testing.T) {
	var epochs, steps []report.Line
	for epoch, rate := range []float32{0.05, 0.1, 0.1, 0.01, 0.01, 0.001} {
		line := report.Line{Event: report.EpochEvent, Step: 8 * (epoch + 1), Epoch: epoch + 1, LR: rate}
		epochs = append(epochs, line)
		for step := 8*epoch + 2; step <= 8*epoch+8; step += 2 {
			steps = append(steps, report.Line{Event: report.StepEvent, Step: step, Epoch: epoch + 1, LR: rate})
		}
		steps = append(steps, line)
	}
	for _, lines := range [][]report.Line{epochs, steps} {
		errs, losses := curves(lines, true)
		if want := "[{3 rate 0.01} {5 rate 0.001}]"; fmt.Sprint(errs.Marks) != want || fmt.Sprint(losses.Marks) != want {
			t.Errorf("marks %v and %v, want %s", errs.Marks, losses.Marks, want)
		}
		if errs, losses := curves(lines, false); len(errs.Marks)+len(losses.Marks) > 0 {
			t.Errorf("marks %v of a rate that falls from step to step", errs.Marks)
		}
	}
	for settings, want := range map[string]bool{
		`{"schedule":{"kind":"step"}}`: true, `{"schedule":{"kind":"plateau"}}`: true, `{"schedule":{"kind":"cosine"}}`: false, `{}`: false, ``: false,
	} {
		if got := drops(&checkpoint.Checkpoint{Settings: []byte(settings)}); got != want {
			t.Errorf("%s drops: %t", settings, got)
		}
	}
}

// The gallery shows different classes first.
func TestGallery(t *testing.T) {
	g := newGallery(nil, 4)
	for row, label := range []int32{5, 5, 5, 3, 5, 3, -1} {
		if err := g.add(eval.Prediction{Row: row, Label: label, Classes: []int{1}, Probabilities: []float64{1}}); err != nil {
			t.Fatal(err)
		}
	}
	var rows []int
	for _, p := range g.chosen() {
		rows = append(rows, p.Row)
	}
	if fmt.Sprint(rows) != "[0 3 6 1]" {
		t.Errorf("rows %v", rows)
	}
}

// What is written on this machine is no URL, which would become a folder "s3:".
func TestNoURLs(t *testing.T) {
	for _, flag := range []string{"--report", "--png", "--predictions"} {
		status, out, errs := command(t, "--records", t.TempDir(), "--checkpoint", "none", flag, "s3://bucket/file")
		if want := flag + " s3://bucket/file: this must be on this machine"; status != cli.Usage || out != "" || !strings.Contains(errs, want) {
			t.Errorf("status %d, %s%s, want %q", status, out, errs, want)
		}
	}
}
