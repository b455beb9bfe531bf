package main

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"alexnet/ingest/convert"
	"alexnet/ingest/source"
	"alexnet/model"
	"alexnet/records"
	"alexnet/tools/cli"
	"alexnet/tools/drawn"
	"alexnet/train/checkpoint"
	"alexnet/train/eval"
)

// answered runs the command with --json.
func answered(t *testing.T, args ...string) (a answer, stderr string) {
	t.Helper()
	status, out, errs := command(t, append(args, "--json")...)
	if status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return a, errs
}

// Tables and JSON object agree, with each other and in themselves.
func TestTables(t *testing.T) {
	ds := dataset(t, data)
	_, files := checkpoints(t, ds, 0, 11, 12)
	args := []string{"--records", ds.Dir, "--checkpoint", files[0], "--checkpoint", files[1]}
	a, _ := answered(t, args...)
	for i, seed := range []uint64{11, 12} {
		s, want := a.Singles[i], expect(t, ds, 1, seed)
		if s.Checkpoint != files[i] || s.Net != "alexnet-small" || s.Top1 != want.Top1 || s.Shares.Top1Error != want.Top1Error() || s.Shares.Top1Interval[0] != want.Top1Interval().Low {
			t.Errorf("net %d is %+v, want %+v", i, s, want)
		}
	}
	images, right, taken := 0, 0, map[[2]int]int{}
	for _, c := range a.Confusion {
		taken[[2]int{c[0], c[1]}] = c[2]
		if images += c[2]; c[0] == c[1] {
			right += c[2]
		}
	}
	if images != 9 || right != a.Top1 || len(a.Classes) != 4 {
		t.Errorf("confusion of %d images, %d of them right (%d); %d classes", images, right, a.Top1, len(a.Classes))
	}
	for label, c := range a.Classes {
		n := []int{3, 2, 2, 2}[label]
		if c.Label != label || c.WNID != fmt.Sprintf("n%08d", label) || c.Name != c.WNID || c.Images != n || c.Shares.Top1Accuracy != float64(taken[[2]int{label, label}])/float64(n) {
			t.Errorf("class %d: %+v, want %d images, %d right", label, c, n, taken[[2]int{label, label}])
		}
	}
	wrong := 0
	for _, p := range a.Confused {
		wrong += p.Images
		if p.Label == p.Predicted || p.Images != taken[[2]int{p.Label, p.Predicted}] || p.Share != float64(p.Images)/float64(a.Classes[p.Label].Images) || p.PredictedWNID != fmt.Sprintf("n%08d", p.Predicted) {
			t.Errorf("pair %+v", p)
		}
	}
	if wrong != 9-right || wrong == 0 {
		t.Errorf("%d images in pairs, want %d and more than none", wrong, 9-right)
	}
	if a.Interval != "95 %, Wilson score" || a.Speed.Made != 9 || a.Speed.Seconds <= 0 {
		t.Errorf("interval %s, speed %+v", a.Interval, a.Speed)
	}

	status, out, errs := command(t, append(args, "--per-class", "--confused", "1", "--confusion")...)
	if status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	var rows []string
	for line := range strings.Lines(out) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	percent := func(s *Shares) string {
		return strings.Join(strings.Fields(share(s.Top1Error, s.Top1Interval)+" "+share(s.Top5Error, s.Top5Interval)), " ")
	}
	want := []string{
		fmt.Sprintf("alexnet-small %s %.4f %s", percent(a.Singles[0].Shares), a.Singles[0].Loss, files[0]),
		fmt.Sprintf("averaged %s %.4f", percent(a.Shares), a.Loss),
		fmt.Sprintf("0 n00000000 3 %s n00000000", percent(a.Classes[0].Shares)),
		fmt.Sprintf("%d %.1f %% %s %s %s %s", a.Confused[0].Images, 100*a.Confused[0].Share, a.Confused[0].WNID, a.Confused[0].WNID, a.Confused[0].PredictedWNID, a.Confused[0].PredictedWNID),
		fmt.Sprintf("0 n00000000 %d %d %d %d", taken[[2]int{0, 0}], taken[[2]int{0, 1}], taken[[2]int{0, 2}], taken[[2]int{0, 3}]),
	}
	for _, w := range want {
		if !slices.Contains(rows, w) {
			t.Errorf("no line %q in\n%s", w, out)
		}
	}
}

// A matrix that is too wide is not shown, and classes without images are counted.
func TestManyClasses(t *testing.T) {
	f := flags{outputFlags: outputFlags{Confusion: true, PerClass: true}}
	a := answer{Shares: &Shares{}, Classes: make([]classRow, 50)}
	a.Nets = 1
	for i := range 41 {
		a.Classes[i].Shares = &Shares{}
		a.Confusion = append(a.Confusion, [3]int{i, i, 1})
	}
	var out strings.Builder
	if err := f.print(&out, a); err != nil || !strings.HasSuffix(out.String(), "classes without images: 9\n\nthe confusion of 41 classes is too wide to be shown; --json has it\n") {
		t.Errorf("error %v,\n%s", err, out.String())
	}
}

func TestWholeBatch(t *testing.T) {
	for _, tc := range [][4]int{{128, 1, 1000, 128}, {128, 10, 1000, 120}, {3, 10, 1000, 10}, {128, 1, 9, 9}, {128, 10, 9, 90}, {1, 1, 0, 1}} {
		if got := wholeBatch(tc[0], tc[1], tc[2]); got != tc[3] {
			t.Errorf("batch %d, %d views, %d records: %d, want %d", tc[0], tc[1], tc[2], got, tc[3])
		}
	}
}

func TestDamagedRecords(t *testing.T) {
	ds := dataset(t, data)
	_, files := checkpoints(t, ds, 0, 11)
	path := filepath.Join(ds.Dir, records.ShardName("val", 0, 1))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
	predictions := filepath.Join(t.TempDir(), "p.jsonl")
	args := []string{"--records", ds.Dir, "--checkpoint", files[0], "--predictions", predictions}
	status, out, errs := command(t, args...)
	if status != cli.Failed || out != "" || !strings.Contains(errs, "no record may be left out of an evaluation") || !strings.Contains(errs, "--on-corrupt skip") {
		t.Errorf("status %d, %s%s", status, out, errs)
	}
	if left, err := filepath.Glob(predictions + "*"); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
	args = append(args, "--on-corrupt", "skip")
	status, out, errs = command(t, args...)
	if status != cli.Done || !strings.Contains(out, "split val: 8 images") || !strings.Contains(out, "damaged records left out: 1 of 9\n") || !strings.Contains(errs, "warning: left out: record ") || !strings.Contains(errs, path+": row ") {
		t.Errorf("status %d, %s%s", status, out, errs)
	}
	lines, err := os.ReadFile(predictions)
	if err != nil || strings.Count(string(lines), "\n") != 8 {
		t.Errorf("predictions %q, error %v", lines, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if status, _, errs = command(t, args...); status != cli.Failed || !strings.Contains(errs, "none of its 9 records could be read") {
		t.Errorf("status %d, %s", status, errs)
	}
}

// ilsvrc draws a set in ILSVRC's form, with a test archive of the validation pictures
// in another order, and ingests it. It returns the numbers of the test pictures by
// those of the validation pictures, and the devkit's truth about these.
func ilsvrc(t *testing.T) (ds *records.Dataset, testOf, truth []int) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pictures")
	if err := drawn.WriteFolder(t.Context(), dir, drawn.Options{Classes: 6, TrainPerClass: 2, ValPerClass: 2, Seed: 3, Devkit: true}); err != nil {
		t.Fatal(err)
	}
	archive, err := os.Create(filepath.Join(dir, "ILSVRC2012_img_test_v10102019.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	w := tar.NewWriter(archive)
	for i, p := range records.Permutation("test", 8, 0, 12) {
		text, err := os.ReadFile(filepath.Join(dir, "val", fmt.Sprintf("ILSVRC2012_val_%08d.JPEG", i+1)))
		if err != nil {
			t.Fatal(err)
		}
		testOf = append(testOf, int(p)+1)
		h := &tar.Header{Name: fmt.Sprintf("test/ILSVRC2012_test_%08d.JPEG", p+1), Size: int64(len(text)), Mode: 0o644}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Fields(string(text)) {
		id, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(err)
		}
		truth = append(truth, id)
	}
	src, err := source.Open(t.Context(), dir, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	out := filepath.Join(t.TempDir(), "out")
	if _, err := convert.Run(t.Context(), convert.Config{Source: src, Out: out, Size: 72, ShardBytes: 5 * 2 * 3 * 72 * 72, Seed: 4, MaxRejects: convert.DefaultMaxRejects}); err != nil {
		t.Fatal(err)
	}
	if ds, err = records.Open(out); err != nil {
		t.Fatal(err)
	}
	return ds, testOf, truth
}

// From archives to submissions: the validation split's, scored as the development
// kit does, gives the errors that were measured, and the test split's, which has no
// labels, gives the same answers to the same pictures.
func TestSubmissions(t *testing.T) {
	ds, testOf, truth := ilsvrc(t)
	net, err := model.Preset("alexnet-small", 1000)
	if err != nil {
		t.Fatal(err)
	}
	weights := net.Init(5)
	for class := range 9 { // so that the answers are often right
		weights[len(weights)-1].Data[class] += 3
	}
	store := checkpoint.Store{Run: t.TempDir(), Keep: 1}
	file, err := store.Save(&checkpoint.Checkpoint{Net: net, Classes: checkpoint.Classes(ds.Manifest), Records: ds.Manifest.Digest, Settings: []byte("{}"),
		Progress: checkpoint.Progress{Schedule: []byte("{}")}, State: model.State{Weights: weights}})
	if err != nil {
		t.Fatal(err)
	}
	var lines [2][]string
	var answers [2]answer
	for i, split := range []string{"val", "test"} {
		path := filepath.Join(t.TempDir(), split+".txt")
		var errs string
		answers[i], errs = answered(t, "--records", ds.Dir, "--checkpoint", file, "--split", split, "--predictions", path)
		if !strings.Contains(errs, path+": 12 lines\n") || strings.Contains(errs, "warning") {
			t.Errorf("%s", errs)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if len(lines[i]) != 12 || answers[i].Predictions != path {
			t.Fatalf("split %s: %d lines; %q", split, len(lines[i]), answers[i].Predictions)
		}
	}
	top1, top5 := 0, 0
	for i, line := range lines[0] {
		ids := strings.Fields(line)
		place := slices.Index(ids, strconv.Itoa(truth[i]))
		if len(ids) != eval.Guesses {
			t.Errorf("line %d: %s", i+1, line)
		}
		if place == 0 {
			top1++
		}
		if place >= 0 {
			top5++
		}
		if other := lines[1][testOf[i]-1]; other != line {
			t.Errorf("validation picture %d has %s, the same as test picture %d has %s", i+1, line, testOf[i], other)
		}
	}
	val, test := answers[0], answers[1]
	if top1 != val.Top1 || top5 != val.Top5 || top5 == 0 || top5 == 12 {
		t.Errorf("the development kit counts %d and %d, evaluate %d and %d", top1, top5, val.Top1, val.Top5)
	}
	if test.Images != 0 || test.Unlabelled != 12 || test.Shares != nil || test.Classes != nil || test.Confusion != nil {
		t.Errorf("test split: %+v", test)
	}
	status, out, errs := command(t, "--records", ds.Dir, "--checkpoint", file, "--split", "test", "--predictions", filepath.Join(t.TempDir(), "p.jsonl"), "--per-class")
	if status != cli.Done || out != "split test: 12 images, views: 1, nets: 1, no labels and so no errors\n" {
		t.Errorf("status %d, %s%s", status, out, errs)
	}
	if len(slices.Compact(slices.Sorted(slices.Values(lines[0])))) < 3 {
		t.Errorf("the answers are too much alike to show anything: %q", lines[0])
	}
}
