package main

import (
	"bytes"
	"image/png"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/records"
	"alexnet/tools/cli"
	"alexnet/train/traintest"
)

// inspect runs the command and returns its exit status and what it printed.
func inspect(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	status = cli.Run(t.Context(), "inspect", description, &flags{}, args, &out, &err)
	return status, out.String(), err.String()
}

// testRecords makes a small data set: 5 training and 3 validation rows of 8x8.
func testRecords(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := (traintest.Data{Classes: 2, Size: 8, Train: 5, Val: 3}).Make(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestNet(t *testing.T) {
	status, out, _ := inspect(t, "net", "alexnet")
	if status != cli.Done {
		t.Fatalf("status %d", status)
	}
	for _, want := range []string{
		"input 3x224x224",
		"60,965,224  724,406,816", // the paper's 60 million parameters
		"256x27x27         2      307,456  223,948,800",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the table lacks %q:\n%s", want, out)
		}
	}
	if _, out, _ := inspect(t, "net", "alexnet-small", "--classes", "7", "--json"); !strings.Contains(out, `"layer":"fc8","kind":"fc","output":{"c":7,`) {
		t.Errorf("no fc8 of 7 outputs in\n%s", out)
	}
	status, _, msg := inspect(t, "net", "vgg")
	if status != cli.Failed || !strings.Contains(msg, `unknown net "vgg": there are alexnet`) {
		t.Errorf("status %d, %q", status, msg)
	}
}

func TestPresets(t *testing.T) {
	for name, wants := range map[string][]string{
		"paper":       {"recipe: batch 128, 90 epochs, learning rate 0.01, momentum 0.9, weight decay 0.0005\n", "rate times 0.1 when the validation error no longer improves; colour eigenvalue; crops without the last offset\nalexnet: input 3x224x224\n", "60,965,224"},
		"caffe":       {"caffe: Caffe's bvlc_alexnet", "batch 256", "at epochs [20 40 60 80]; colour none; crops with the last offset\nalexnet-caffe: input 3x227x227\n", "60,965,224"},
		"torchvision": {"alexnet-torchvision: input 3x224x224\n", "weight decay 0.0001", "61,100,840"},
		"as-run-2012": {"norm2    lrn                n 5 alpha 2e-05 beta 0.75 k 2      256x27x27         2", "spatial2 lrn_within_channel 5x5 alpha 4e-05 beta 0.75 k 1", "not as there: images are shuffled anew in each epoch", "at epochs [25 51 79]; colour stddev for 67 epochs, images then divided by 1.1; crops with the last offset, shared by 32 images\n", "60,965,224"},
		"list":        {"paper                alexnet ", "torchvision          alexnet-torchvision   61,100,840 parameters  ", "alexnet-small        alexnet-small            623,272 parameters  "},
		"lenet":       {"crops without the last offset, not mirrored\n"},
	} {
		status, out, msg := inspect(t, "net", "--preset", name)
		for _, want := range wants {
			if status != cli.Done || !strings.Contains(out, want) {
				t.Errorf("%s: status %d, no %q in\n%s%s", name, status, want, out, msg)
			}
		}
	}
	if _, out, _ := inspect(t, "net", "--preset", "list", "--json"); strings.Count(out, "\n") != 9 || !strings.Contains(out, `"preset":"torchvision","net":"alexnet-torchvision",`) || !strings.Contains(out, `"parameters":61100840}`) {
		t.Errorf("list as JSON:\n%s", out)
	}
	if _, out, _ := inspect(t, "net", "--preset", "caffe", "--json"); !strings.HasPrefix(out, `{"preset":"caffe",`) || !strings.Contains(out, "\n"+`{"layer":"conv1","kind":"conv",`) {
		t.Errorf("a preset as JSON:\n%s", out)
	}
	status, _, msg := inspect(t, "net", "--preset", "vgg")
	if status != cli.Failed || !strings.Contains(msg, `unknown preset "vgg"`) {
		t.Errorf("status %d, %q", status, msg)
	}
	status, _, msg = inspect(t, "net", "alexnet", "--preset", "paper")
	if status != cli.Usage || !strings.Contains(msg, "give one of them") {
		t.Errorf("status %d, %q", status, msg)
	}
}

func TestRecordsRowsVerify(t *testing.T) {
	dir := testRecords(t)
	_, out, _ := inspect(t, "records", dir, "--classes")
	for _, want := range []string{"records of 3x8x8", "train             5          5          0", "val               3          3          0", "classes 2"} {
		if !strings.Contains(out, want) {
			t.Errorf("records lacks %q:\n%s", want, out)
		}
	}
	_, out, _ = inspect(t, "rows", dir, "--split", "val", "--json")
	if n := strings.Count(out, `"shard":"val-00000-of-`); n != 3 {
		t.Errorf("%d rows of val instead of 3:\n%s", n, out)
	}
	for _, want := range []string{`"source_xxh3":"0000000000000001"`, `"source_xxh3":"0000000000000003"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	status, out, msg := inspect(t, "verify", dir)
	if status != cli.Done || !strings.Contains(out, "are as they were written") {
		t.Fatalf("a sound data set: status %d, %s%s", status, out, msg)
	}
	shards, err := filepath.Glob(filepath.Join(dir, "train-*.arrow"))
	if err != nil || len(shards) == 0 {
		t.Fatal(shards, err)
	}
	data, err := os.ReadFile(shards[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(shards[0], data, 0o666); err != nil {
		t.Fatal(err)
	}
	status, out, msg = inspect(t, "verify", dir, "--quiet")
	if status != cli.Failed || !strings.Contains(out, "BAD  "+filepath.Base(shards[0])) || strings.Contains(out, "ok ") {
		t.Errorf("a flipped bit: status %d, %s", status, out)
	}
	if want := "1 of 4 files are damaged: make the records again with ingest --restart"; !strings.Contains(msg, want) {
		t.Errorf("a flipped bit: %q lacks %q", msg, want)
	}
}

// Records that are whole, but of a later version of the format, are not to be made
// again: another program is needed.
func TestVerifyLaterVersion(t *testing.T) {
	dir := testRecords(t)
	name := filepath.Join(dir, records.ManifestName)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.Replace(data, []byte(`"version": 2`), []byte(`"version": 3`), 1)
	if err := os.WriteFile(name, data, 0o666); err != nil {
		t.Fatal(err)
	}
	status, out, msg := inspect(t, "verify", dir)
	if status != cli.Failed || strings.Contains(out, "BAD") || strings.Contains(msg, "damaged") || !strings.Contains(msg, "use a newer version of this program") {
		t.Errorf("status %d, %s%s", status, out, msg)
	}
}

// No checksum covers labels, and none of them is looked at when a split is opened.
func TestLabelWithoutClass(t *testing.T) {
	dir := testRecords(t)
	m, err := records.ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	m.Classes = m.Classes[:1]
	if err := records.WriteManifest(dir, m); err != nil {
		t.Fatal(err)
	}
	status, _, msg := inspect(t, "records", dir, "--classes")
	if status != cli.Failed || !strings.Contains(msg, `.arrow: row 1 has label 1, and there are 1 classes: inspect verify `) {
		t.Errorf("status %d, %s", status, msg)
	}
}

func TestSheet(t *testing.T) {
	dir := testRecords(t)
	name := filepath.Join(t.TempDir(), "sheet.png")
	status, out, msg := inspect(t, "sheet", dir, "--png", name, "--crop", "6", "--pictures", "2", "--crops", "3")
	if status != cli.Done {
		t.Fatalf("status %d, %s", status, msg)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if b := img.Bounds(); b.Dx() < 4*8*26 || !strings.Contains(out, "2 pictures with 3 crops each") {
		t.Errorf("%v, %s", b, out)
	}
	if _, out, msg = inspect(t, "sheet", dir, "--png", name, "--split", "val"); !strings.Contains(out, "3 pictures with 6 crops each") {
		t.Errorf("a split of 3: %s%s", out, msg)
	}
	status, _, msg = inspect(t, "sheet", dir, "--crop", "9", "--png", name)
	if status != cli.Failed || !strings.Contains(msg, "crop of 9 pixels from records of 8x8: choose 1 to 8") {
		t.Errorf("a crop that is too large: status %d, %q", status, msg)
	}
}

// TestGrey looks at records of one channel.
func TestGrey(t *testing.T) {
	dir := t.TempDir()
	if err := (traintest.Data{Classes: 2, Size: 8, Train: 5, Val: 3, Grey: true}).Make(dir); err != nil {
		t.Fatal(err)
	}
	status, out, msg := inspect(t, "records", dir)
	if status != cli.Done || !strings.Contains(out, "records of 1x8x8") || strings.Contains(out, "eigenvalue") {
		t.Errorf("status %d, %s%s", status, out, msg)
	}
	name := filepath.Join(t.TempDir(), "sheet.png")
	if status, _, msg := inspect(t, "sheet", dir, "--png", name, "--pictures", "1", "--crops", "1"); status != cli.Done {
		t.Errorf("sheet: status %d, %s", status, msg)
	}
}

func TestMissingFolder(t *testing.T) {
	for _, command := range []string{"records", "rows", "verify", "sheet"} {
		status, out, msg := inspect(t, command, filepath.Join(t.TempDir(), "nowhere"))
		if status != cli.Failed || out != "" || !strings.Contains(msg, "nowhere") || !strings.Contains(msg, "ingest") {
			t.Errorf("%s: status %d, %q %q", command, status, out, msg)
		}
	}
}

// What looks at records says of those at a URL what it says of those in a folder.
func TestRecordsAtURL(t *testing.T) {
	dir := testRecords(t)
	at := (&url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(filepath.ToSlash(dir), "/")}).String()
	png := filepath.Join(t.TempDir(), "sheet.png")
	for _, args := range [][]string{
		{"records", "--classes"}, {"records", "--json"}, {"rows", "--json"}, {"verify"}, {"sheet", "--png", png, "--pictures", "2"},
	} {
		run := func(where string) (int, string, string) {
			status, out, msg := inspect(t, append([]string{args[0], where}, args[1:]...)...)
			return status, strings.ReplaceAll(out, where, "HERE"), msg
		}
		wantStatus, want, _ := run(dir)
		status, got, msg := run(at)
		if status != wantStatus || got != want || status != cli.Done {
			t.Errorf("%v: status %d, %s%s\nof the folder:\n%s", args, status, got, msg, want)
		}
	}
	name := filepath.Join(dir, "train-00000-of-00001.arrow")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(name, data, 0o666); err != nil {
		t.Fatal(err)
	}
	if status, out, msg := inspect(t, "verify", at); status != cli.Failed || !strings.Contains(out, "BAD  train-00000-of-00001.arrow: ") || !strings.Contains(msg, "1 of 4 files are damaged") {
		t.Errorf("a damaged object: status %d, %s%s", status, out, msg)
	}
	if status, _, msg := inspect(t, "verify", at+"/none"); status != cli.Failed || !strings.Contains(msg, "holds no finished records") {
		t.Errorf("no data set: status %d, %s", status, msg)
	}
}

func TestOneField(t *testing.T) {
	for key, want := range map[string]string{"n01440764/a b è.JPEG": "n01440764/a b è.JPEG", "a/x\ty\n.jpg": `"a/x\ty\n.jpg"`} {
		if got := oneField(key); got != want {
			t.Errorf("%q: %s, want %s", key, got, want)
		}
	}
}

func TestHelpHasExamples(t *testing.T) {
	for _, name := range []string{"records", "rows", "verify", "sheet", "net", "kernels", "neighbours"} {
		if status, out, _ := inspect(t, name, "--help"); status != cli.Done || !strings.Contains(out, "    inspect "+name+" ") {
			t.Errorf("%s: status %d, %s", name, status, out)
		}
	}
}
