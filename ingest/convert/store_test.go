package convert

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"alexnet/ingest/source"
	"alexnet/records"
	"alexnet/records/bucket"
	"alexnet/records/bucket/buckettest"
	"alexnet/tools/drawn"
)

// watched is a store that looks, after each change, whether a manifest is there
// without all that it lists.
type watched struct {
	t testing.TB
	m buckettest.Memory
	// before, if not nil, is called before each request; an error of it is final.
	before func(op, name string) error
	// after, if not nil, is called after each Put that took effect; an error of it
	// is what the caller is told instead of that.
	after func(name string, how bucket.PutMode) error

	mu sync.Mutex // guards both while a job runs
}

// quiet has neither be called any more, also in the middle of a job.
func (w *watched) quiet() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before, w.after = nil, nil
}

// asked gives both as they are now.
func (w *watched) asked() (before func(op, name string) error, after func(string, bucket.PutMode) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.before, w.after
}

func newStore(t testing.TB) *watched { return &watched{t: t} }

func (w *watched) Name() string { return "mem://test/records" }
func (w *watched) Close() error { return nil }

func (w *watched) ask(op, name string) error {
	before, _ := w.asked()
	if before == nil {
		return nil
	}
	if err := before(op, name); err != nil {
		return &bucket.Error{Op: op, Object: w.Name() + "/" + name, Attempts: 3, Err: err}
	}
	return nil
}

func (w *watched) Stat(ctx context.Context, name string) (bucket.Info, error) {
	if err := w.ask("stat", name); err != nil {
		return bucket.Info{}, err
	}
	return w.m.Stat(ctx, name)
}

func (w *watched) Open(ctx context.Context, name string) (io.ReadCloser, bucket.Info, error) {
	if err := w.ask("open", name); err != nil {
		return nil, bucket.Info{}, err
	}
	return w.m.Open(ctx, name)
}

func (w *watched) ReadAt(ctx context.Context, name, version string, p []byte, off int64) error {
	return errors.Join(w.ask("read", name), w.m.ReadAt(ctx, name, version, p, off))
}

func (w *watched) List(ctx context.Context, folder string, deep bool) iter.Seq2[bucket.Info, error] {
	if err := w.ask("list", folder); err != nil {
		return func(yield func(bucket.Info, error) bool) { yield(bucket.Info{}, err) }
	}
	return w.m.List(ctx, folder, deep)
}

func (w *watched) Put(ctx context.Context, name string, data io.ReaderAt, size int64, how bucket.PutMode) error {
	if err := w.ask("put", name); err != nil {
		return err
	}
	err := w.m.Put(ctx, name, data, size, how)
	w.look(name)
	if _, after := w.asked(); err == nil && after != nil {
		err = after(name, how)
	}
	return err
}

func (w *watched) Remove(ctx context.Context, name string) error {
	if err := w.ask("remove", name); err != nil {
		return err
	}
	err := w.m.Remove(ctx, name)
	w.look(name)
	return err
}

// look checks that a manifest that is there has all that it lists.
func (w *watched) look(after string) {
	data := w.get(records.ManifestName)
	if data == nil || strings.HasPrefix(after, stateName) {
		return
	}
	m, err := records.DecodeManifest(records.ManifestName, data)
	if err != nil {
		w.t.Errorf("after %s: %v", after, err)
		return
	}
	want := map[string]string{m.Mean.File: m.Mean.SHA256}
	for _, split := range m.Splits {
		for _, s := range split.Shards {
			want[s.File] = s.SHA256
		}
	}
	for file, digest := range want {
		if sum := sha256.Sum256(w.get(file)); hex.EncodeToString(sum[:]) != digest {
			w.t.Errorf("after %s the manifest lists %s, which is not as it says", after, file)
		}
	}
	for _, file := range []string{requestName, rejectsName} {
		if w.get(file) == nil {
			w.t.Errorf("after %s there is a manifest without %s", after, file)
		}
	}
}

// get returns an object, nil if it is not there.
func (w *watched) get(name string) []byte {
	r, _, err := w.m.Open(context.Background(), name)
	if err != nil {
		return nil
	}
	data, err := io.ReadAll(r)
	if err != nil {
		w.t.Error(err)
	}
	return append([]byte{}, data...)
}

// set makes or replaces an object.
func (w *watched) set(name string, data []byte) {
	if err := w.m.Put(context.Background(), name, bytes.NewReader(data), int64(len(data)), bucket.Replace); err != nil {
		w.t.Error(err)
	}
}

// names lists the objects below a name.
func (w *watched) names(below string) (all []string) {
	for info, err := range w.m.List(context.Background(), below, true) {
		if err != nil {
			w.t.Error(err)
		}
		all = append(all, info.Name)
	}
	return all
}

// sameObjects compares all objects with the files of an output.
func sameObjects(t *testing.T, what string, w *watched, want string) {
	t.Helper()
	files := tree(t, want)
	for _, name := range w.names("") {
		if sum := sha256.Sum256(w.get(name)); hex.EncodeToString(sum[:]) != files[name] {
			t.Errorf("%s: %s differs from that of a folder", what, name)
		}
		delete(files, name)
	}
	for name := range files {
		t.Errorf("%s: %s is missing", what, name)
	}
}

// inStore has a job write to a store.
func inStore(t testing.TB, cfg Config, w *watched) Config {
	cfg.Out, cfg.Folder, cfg.Scratch = "", w, t.TempDir()
	return cfg
}

// emptyScratch checks that nothing is left on this machine.
func emptyScratch(t testing.TB, cfg Config) {
	t.Helper()
	if left, err := os.ReadDir(cfg.Scratch); err != nil || len(left) > 0 {
		t.Errorf("left in the scratch folder: %v (%v)", left, err)
	}
}

// mergeStore merges what must be mergeable.
func mergeStore(t testing.TB, w *watched) Summary {
	t.Helper()
	s, err := Merge(context.Background(), MergeConfig{Folder: w, MaxRejects: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStore compares the objects of jobs, whole, shared and prepared, with the
// files of one in a folder.
func TestStore(t *testing.T) {
	src := open(t, spoiled(t), source.Options{})
	for _, pixels := range []records.PixelType{records.Int16, records.Uint8} {
		cfg := config(src, filepath.Join(t.TempDir(), "one"))
		cfg.Pixels, cfg.MaxRejects, cfg.KeepTruncated, cfg.BaselineSample = pixels, 1, true, 5
		cfg.Compression = map[records.PixelType]records.Compression{records.Int16: records.None, records.Uint8: records.Zstd}[pixels]
		whole := convert(t, cfg)

		w := newStore(t)
		w.set("notes.txt", []byte("mine"))
		stored := inStore(t, cfg, w)
		s := convert(t, stored)
		if s.Digest != whole.Digest || s.AlreadyDone || fmt.Sprint(s.Splits) != fmt.Sprint(whole.Splits) {
			t.Errorf("in a store: %+v, in a folder: %+v", s, whole)
		}
		if string(w.get("notes.txt")) != "mine" {
			t.Error("what is none of ours was touched")
		}
		if err := w.m.Remove(context.Background(), "notes.txt"); err != nil {
			t.Fatal(err)
		}
		sameObjects(t, string(pixels), w, cfg.Out)
		if again := convert(t, stored); !again.AlreadyDone || again.Files != 0 || again.Digest != whole.Digest {
			t.Errorf("again: %+v", again)
		}
		emptyScratch(t, stored)

		w = newStore(t)
		stored = inStore(t, cfg, w)
		stored.Prepare = true
		if s := convert(t, stored); s.Shards != whole.Splits[0].Shards+whole.Splits[1].Shards {
			t.Errorf("prepared: %+v", s)
		}
		stored.Prepare = false
		for i := range 3 {
			stored.Task = Task{i, 3}
			convert(t, stored)
		}
		if s := mergeStore(t, w); s.Digest != whole.Digest || s.AlreadyDone {
			t.Errorf("merged: %+v", s)
		}
		sameObjects(t, "merged "+string(pixels), w, cfg.Out)
		if s := mergeStore(t, w); !s.AlreadyDone {
			t.Errorf("merged again: %+v", s)
		}
		emptyScratch(t, stored)
	}
}

// TestStoreBorrow takes the mean picture from records that are opened by other
// means.
func TestStoreBorrow(t *testing.T) {
	lender := config(smallSource(t), filepath.Join(t.TempDir(), "lender"))
	convert(t, lender)
	dir := folder(t, small())
	if err := os.RemoveAll(filepath.Join(dir, "train")); err != nil {
		t.Fatal(err)
	}
	one := config(open(t, dir, source.Options{}), filepath.Join(t.TempDir(), "one"))
	one.MeanFrom = lender.Out
	convert(t, one)
	w := newStore(t)
	cfg := inStore(t, one, w)
	cfg.MeanFrom, cfg.Task = "mem://lender", Task{0, 1}
	cfg.OpenMean = func(_ context.Context, name string) (*records.Dataset, error) {
		if name != "mem://lender" {
			t.Errorf("the mean is of %s", name)
		}
		return records.Open(lender.Out)
	}
	convert(t, cfg)
	mergeStore(t, w)
	sameObjects(t, "a borrowed mean", w, one.Out)
}

// tiny is a job of 4 shards with one picture each.
func tiny(t testing.TB) Config {
	dir := folder(t, drawn.Options{Classes: 2, TrainPerClass: 1, ValPerClass: 1, Seed: 3})
	cfg := config(open(t, dir, source.Options{}), filepath.Join(t.TempDir(), "one"))
	cfg.Size, cfg.ShardBytes, cfg.Jobs = 8, 1, 1
	return cfg
}

var errDown = errors.New("the store is down")

// TestStoreDown has the store fail for good at every request of a job, before it
// takes effect or after, and runs the job again. Then it must come to the same
// end, at no time with a manifest that lists what is not there.
func TestStoreDown(t *testing.T) {
	one := tiny(t)
	convert(t, one)
	whole := func(cfg Config) error {
		_, err := Run(context.Background(), cfg)
		return err
	}
	shared := func(cfg Config) error {
		for i := range 2 {
			cfg.Task = Task{i, 2}
			if _, err := Run(context.Background(), cfg); err != nil {
				return err
			}
		}
		_, err := Merge(context.Background(), MergeConfig{Folder: cfg.Folder})
		return err
	}
	for name, run := range map[string]func(Config) error{"whole": whole, "shared": shared} {
		ops := downAt(t, name, one, run, 0, false)
		if len(ops) < 20 {
			t.Errorf("%s: only the requests %v", name, ops)
		}
		for at, op := range ops {
			if testing.Short() && at%5 != 2 {
				continue
			}
			what := fmt.Sprintf("%s, down at %s, request %d", name, op, at+1)
			downAt(t, what, one, run, at+1, false)
			if op == "put" {
				downAt(t, what+", when it is done", one, run, at+1, true)
			}
		}
	}
}

// downAt runs a job in a store that fails from a request on, counted from 1, and
// runs it again. It returns the requests of the first run.
func downAt(t *testing.T, what string, one Config, run func(Config) error, at int, late bool) (ops []string) {
	t.Helper()
	w := newStore(t)
	var mu sync.Mutex
	down := func(op string) error {
		mu.Lock()
		defer mu.Unlock()
		if op != "" {
			ops = append(ops, op)
		}
		if at > 0 && (len(ops) > at || len(ops) == at && !(late && op == "put")) {
			return errDown
		}
		return nil
	}
	w.before = func(op, _ string) error { return down(op) }
	w.after = func(name string, _ bucket.PutMode) error {
		if err := down(""); err != nil {
			return &bucket.Error{Op: "put", Object: w.Name() + "/" + name, Attempts: 3, Err: err}
		}
		return nil
	}
	cfg := inStore(t, one, w)
	err := run(cfg)
	if down := at > 0; down != (err != nil) || down && (!errors.Is(err, errDown) || !strings.Contains(err.Error(), "mem://test")) {
		t.Errorf("%s: error %v", what, err)
	}
	emptyScratch(t, cfg)
	w.before, w.after = nil, nil
	if err := run(cfg); at > 0 && err != nil {
		t.Errorf("%s, run again: %v", what, err)
	}
	sameObjects(t, what, w, one.Out)
	return ops
}

// TestStoreLostAnswers has every object that is to be new be there already when
// its Put is answered: an earlier attempt of the same call has made it.
func TestStoreLostAnswers(t *testing.T) {
	one := tiny(t)
	convert(t, one)
	for _, tasks := range []int{0, 2} {
		w := newStore(t)
		w.after = func(name string, how bucket.PutMode) error {
			if how == bucket.Create {
				return &bucket.Error{Op: "put", Object: name, Attempts: 2, Err: fs.ErrExist}
			}
			return nil
		}
		cfg := inStore(t, one, w)
		for i := range max(1, tasks) {
			cfg.Task = Task{i * min(1, tasks), tasks}
			convert(t, cfg)
		}
		if tasks > 0 {
			mergeStore(t, w)
		}
		sameObjects(t, "answers were lost", w, one.Out)
	}
}

// TestStoreAtOnce has whole jobs that are the same, and tasks twice, at work at
// the same time.
func TestStoreAtOnce(t *testing.T) {
	src := smallSource(t)
	one := config(src, filepath.Join(t.TempDir(), "one"))
	one.BaselineSample, one.Jobs = 5, 1
	convert(t, one)
	for round := range 2 {
		for _, tasks := range []int{0, 2} {
			w := newStore(t)
			var group sync.WaitGroup
			for i := range 4 {
				group.Go(func() {
					cfg := inStore(t, one, w)
					cfg.Out = fmt.Sprint("process ", i)
					if tasks > 0 {
						cfg.Task = Task{i % tasks, tasks}
					}
					if _, err := Run(context.Background(), cfg); err != nil {
						t.Errorf("round %d, %s of %d tasks: %v", round, cfg.Out, tasks, err)
					}
					emptyScratch(t, cfg)
				})
			}
			group.Wait()
			if tasks > 0 {
				mergeStore(t, w)
			}
			sameObjects(t, "at once", w, one.Out)
		}
	}
}

// TestStoreDiffer has two different jobs come first in the same moment: one of
// them must be refused, and the output be that of the other.
func TestStoreDiffer(t *testing.T) {
	src := smallSource(t)
	ones := make([]Config, 2)
	for i := range ones {
		ones[i] = config(src, filepath.Join(t.TempDir(), "one"))
		ones[i].Seed = uint64(i)
		convert(t, ones[i])
	}
	// One is about to say what the output is for when the other one does.
	w := newStore(t)
	w.before = func(op, name string) error {
		if op == "put" && name == requestName {
			w.quiet()
			convert(t, inStore(t, ones[1], w))
		}
		return nil
	}
	var changed *ChangedError
	if _, err := Run(context.Background(), inStore(t, ones[0], w)); !errors.As(err, &changed) {
		t.Errorf("error %v, want that the output is another job's", err)
	}
	sameObjects(t, "the later one", w, ones[1].Out)

	for _, task := range []Task{{}, {0, 1}} {
		for range 2 {
			w := newStore(t)
			var group sync.WaitGroup
			errs := make([]error, 2)
			for i := range errs {
				group.Go(func() {
					cfg := inStore(t, ones[i], w)
					cfg.Task, cfg.Jobs = task, 1
					_, errs[i] = Run(context.Background(), cfg)
				})
			}
			group.Wait()
			winner := 0
			if errs[0] != nil {
				winner = 1
			}
			if errs[winner] != nil || !errors.As(errs[1-winner], &changed) {
				t.Fatalf("errors %v; want that one job is refused", errs)
			}
			if task.Count > 0 {
				mergeStore(t, w)
			}
			sameObjects(t, "two jobs at once", w, ones[winner].Out)
		}
	}
}

// TestStoreOvertaken has an identical job, or the merge, end while one is at
// work: at its first shard, and when it puts all together.
func TestStoreOvertaken(t *testing.T) {
	one := config(smallSource(t), filepath.Join(t.TempDir(), "one"))
	one.Jobs = 1
	convert(t, one)
	for _, at := range []string{"train-00001-of-00004.arrow", stateName + "/train-00002-of-00004.arrow.part", records.MeanName} {
		w := newStore(t)
		slow, other := inStore(t, one, w), inStore(t, one, w)
		w.before = func(op, name string) error {
			if op == "put" && name == at {
				w.quiet()
				convert(t, other)
			}
			return nil
		}
		s := convert(t, slow)
		if wrote := at == records.MeanName; s.AlreadyDone == wrote {
			t.Errorf("overtaken at %s: %+v", at, s)
		}
		sameObjects(t, "overtaken at "+at, w, one.Out)
	}
	for _, at := range []string{"train-00000-of-00004.arrow", Task{0, 2}.doneName()} {
		w := newStore(t)
		cfg := inStore(t, one, w)
		for i := range 2 {
			cfg.Task = Task{i, 2}
			convert(t, cfg)
		}
		cfg.Task = Task{0, 2}
		if err := w.m.Remove(context.Background(), "train-00000-of-00004.arrow"); err != nil { // so that there is something to do
			t.Fatal(err)
		}
		merged := false
		w.before = func(op, name string) error {
			if op == "put" && name == at && !merged {
				merged = true
				w.quiet()
				convert(t, cfg)
				mergeStore(t, w)
			}
			return nil
		}
		if s := convert(t, cfg); !s.AlreadyDone || !merged {
			t.Errorf("a task, merged at %s: %+v", at, s)
		}
		sameObjects(t, "merged at "+at, w, one.Out)
	}
}

// TestStoreMergesAtOnce has a merge end when another one begins to read, and when
// that one writes.
func TestStoreMergesAtOnce(t *testing.T) {
	one := config(smallSource(t), filepath.Join(t.TempDir(), "one"))
	convert(t, one)
	for at, already := range map[string]bool{"open " + outlineName: true, "open " + (Task{1, 2}).doneName(): true, "put " + records.MeanName: false} {
		w := newStore(t)
		cfg := inStore(t, one, w)
		for i := range 2 {
			cfg.Task = Task{i, 2}
			convert(t, cfg)
		}
		var merged atomic.Bool
		w.before = func(op, name string) error {
			if op+" "+name == at && merged.CompareAndSwap(false, true) {
				mergeStore(t, w)
			}
			return nil
		}
		if s := mergeStore(t, w); s.AlreadyDone != already || !merged.Load() {
			t.Errorf("merged at %s: %+v", at, s)
		}
		sameObjects(t, "merged at "+at, w, one.Out)
	}
}

// TestStoreRestarted has another job begin anew in the output of one that is at
// work, which must stop and leave that alone.
func TestStoreRestarted(t *testing.T) {
	src := smallSource(t)
	one := config(src, filepath.Join(t.TempDir(), "one"))
	one.Jobs = 1
	other := one
	other.Out, other.Seed, other.Restart = filepath.Join(t.TempDir(), "other"), 99, true
	convert(t, other)
	for _, at := range []string{"shard", stateName + "/train-00002-of-00004.arrow.part", records.MeanName} {
		w := newStore(t)
		cfg := inStore(t, one, w)
		restart := func() error {
			w.quiet()
			convert(t, inStore(t, other, w))
			return nil
		}
		if at == "shard" {
			cfg.create = func(path string, o records.WriterOptions) (shardWriter, error) {
				if strings.Contains(path, "train-00002") {
					// The shard before is sent beside this one: where it comes while the other
					// job is at work, neither could tell whose it is.
					for w.get(stateName+"/train-00001-of-00004.arrow.part") == nil {
						time.Sleep(time.Millisecond)
					}
					restart()
				}
				return records.CreateForwardShard(path, o)
			}
		}
		w.after = func(name string, _ bucket.PutMode) error {
			if name == at {
				return restart()
			}
			return nil
		}
		_, err := Run(context.Background(), cfg)
		var lost *LostError
		if !errors.As(err, &lost) || strings.Contains(err.Error(), "run the same command again") {
			t.Errorf("restarted at %s: error %v", at, err)
		}
		sameObjects(t, "restarted at "+at, w, other.Out)
	}
}

// TestStoreDamaged makes again what does not fit, and only that.
func TestStoreDamaged(t *testing.T) {
	one := config(smallSource(t), filepath.Join(t.TempDir(), "one"))
	one.Jobs = 1
	convert(t, one)
	w := newStore(t)
	cfg := inStore(t, one, w)
	w.before = func(op, name string) error {
		if op == "put" && name == records.MeanName {
			return errDown
		}
		return nil
	}
	_, err := Run(context.Background(), cfg)
	want := "put mem://test/records/mean.arrow: the store is down (after 3 attempts); 6 of 6 shards are finished and kept in mem://test/records: run the same command again to go on"
	if err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	w.before = nil
	part := func(i int) string { return fmt.Sprintf("%s/train-%05d-of-00004.arrow.part", stateName, i) }
	w.set(part(0), []byte("{}"))
	w.set(part(1), bytes.Replace(w.get(part(1)), []byte(`"request": "`), []byte(`"request": "0`), 1))
	w.set("train-00002-of-00004.arrow", w.get("train-00002-of-00004.arrow")[:100])
	if err := w.m.Remove(context.Background(), "train-00003-of-00004.arrow"); err != nil {
		t.Fatal(err)
	}
	w.set(baselineName, []byte("nonsense"))
	if s := convert(t, cfg); s.Files != 24 {
		t.Errorf("%d files dealt with, want those of four shards", s.Files)
	}
	sameObjects(t, "after damage", w, one.Out)

	w.set("val-00000-of-00002.arrow", nil)
	if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "mem://test/records/val-00000-of-00002.arrow is damaged: it has 0 bytes, the manifest says ") || !strings.Contains(err.Error(), "use --restart") {
		t.Errorf("a finished output with a damaged shard: %v", err)
	}
	if err := w.m.Remove(context.Background(), "val-00000-of-00002.arrow"); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), cfg); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "a shard is missing") {
		t.Errorf("a finished output without a shard: %v", err)
	}
	var changed *ChangedError
	other := cfg
	other.Seed = 12
	if _, err := Run(context.Background(), other); !errors.As(err, &changed) || !strings.Contains(err.Error(), "mem://test/records holds records that were made with other options or files: seed was 11, is 12") {
		t.Errorf("other options: %v", err)
	}
	var foreign *ForeignError
	if err := w.m.Remove(context.Background(), requestName); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), cfg); !errors.As(err, &foreign) {
		t.Errorf("no ingest.json: %v", err)
	}
	cfg.Restart = true
	convert(t, cfg)
	sameObjects(t, "begun anew", w, one.Out)
}

// TestStoreMerge merges what is missing, damaged, or cannot be read, and then does
// what the messages say.
func TestStoreMerge(t *testing.T) {
	one := config(smallSource(t), filepath.Join(t.TempDir(), "one"))
	convert(t, one)
	w := newStore(t)
	cfg := inStore(t, one, w)
	task := func(i int) {
		t.Helper()
		cfg.Task = Task{i, 3}
		convert(t, cfg)
	}
	for i := range 3 {
		task(i)
	}
	first := w.get(Task{0, 3}.doneName())
	task(0)
	if !bytes.Equal(w.get(Task{0, 3}.doneName()), first) {
		t.Error("a task that was done already wrote another done-marker")
	}
	w.before = func(op, name string) error {
		if name == (Task{1, 3}).doneName() {
			return errDown
		}
		return nil
	}
	var many *MergeError
	if _, err := Merge(context.Background(), MergeConfig{Folder: w}); !errors.Is(err, errDown) || errors.As(err, &many) {
		t.Errorf("a done-marker that cannot be read: %v", err)
	}
	w.before = nil
	for _, name := range []string{Task{0, 3}.doneName(), "train-00001-of-00004.arrow"} {
		if err := w.m.Remove(context.Background(), name); err != nil {
			t.Fatal(err)
		}
	}
	w.set(Task{2, 3}.doneName(), first)
	_, err := Merge(context.Background(), MergeConfig{Folder: w})
	if !errors.As(err, &many) || many.Out != "mem://test/records" || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{
		"mem://test/records cannot be merged, for 3 of 3 parts: task-00000-of-00003.done: missing: run --shard 0/3 again; ",
		"task-00001-of-00003.done: mem://test/records/train-00001-of-00004.arrow is not there: ",
		"task-00002-of-00003.done: it is that of task 0/3 under another name: run --shard 2/3 again",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	w.set(outlineName, []byte("damaged"))
	w.set(baselineName, nil)
	for i := range 3 {
		task(i)
	}
	mergeStore(t, w)
	sameObjects(t, "merged after harm", w, one.Out)
}

// TestStoreDiffers has another process come to another result for a shard, and
// for a task, which must not be overwritten.
func TestStoreDiffers(t *testing.T) {
	one := config(smallSource(t), filepath.Join(t.TempDir(), "one"))
	one.Jobs = 1
	for _, name := range []string{stateName + "/train-00002-of-00004.arrow.part", Task{0, 1}.doneName()} {
		w := newStore(t)
		cfg := inStore(t, one, w)
		cfg.Task = Task{0, 1}
		w.before = func(op, asked string) error {
			if asked == name && op != "list" {
				w.set(name, []byte("another's"))
			}
			return nil
		}
		_, err := Run(context.Background(), cfg)
		var differs *DiffersError
		if !errors.As(err, &differs) || differs.File != "mem://test/records/"+name {
			t.Errorf("%s: error %v", name, err)
		}
		if string(w.get(name)) != "another's" {
			t.Errorf("%s was overwritten", name)
		}
		if strings.HasSuffix(name, ".part") && w.get("train-00002-of-00004.arrow") != nil {
			t.Error("the shard was sent all the same")
		}
	}

	// Where both are sent at once it is not known which is there.
	convert(t, one)
	w := newStore(t)
	cfg := inStore(t, one, w)
	part := stateName + "/train-00002-of-00004.arrow.part"
	w.before = func(op, asked string) error {
		if asked == part && op == "put" {
			w.set(part, []byte("another's"))
		}
		return nil
	}
	_, err := Run(context.Background(), cfg)
	var differs *DiffersError
	if !errors.As(err, &differs) || w.get(part) != nil {
		t.Errorf("sent at once: error %v, part %q", err, w.get(part))
	}
	w.before = nil
	convert(t, cfg)
	sameObjects(t, "sent at once", w, one.Out)
}

// TestStoreInterrupt finishes the shards that are ready when it is told to stop.
func TestStoreInterrupt(t *testing.T) {
	one := config(smallSource(t), filepath.Join(t.TempDir(), "one"))
	one.Jobs = 1
	convert(t, one)
	w := newStore(t)
	cfg := inStore(t, one, w)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.before = func(op, name string) error {
		if op == "put" && name == "train-00001-of-00004.arrow" {
			cancel()
			time.Sleep(time.Millisecond)
		}
		return nil
	}
	_, err := Run(ctx, cfg)
	var stopped *StoppedError
	if !errors.As(err, &stopped) || stopped.Done < 2 || !strings.HasPrefix(err.Error(), fmt.Sprintf("interrupted; %d of 6 shards are finished and kept in mem://test/records: ", stopped.Done)) {
		t.Errorf("error %v", err)
	}
	if w.get(stateName+"/train-00001-of-00004.arrow.part") == nil {
		t.Error("the shard that was being sent is lost")
	}
	emptyScratch(t, cfg)
	w.before = nil
	convert(t, cfg)
	sameObjects(t, "after an interruption", w, one.Out)
}

// TestScratch has no scratch folder, one that fills up, and one that lasts.
func TestScratch(t *testing.T) {
	one := config(smallSource(t), filepath.Join(t.TempDir(), "one"))
	one.Jobs = 1
	convert(t, one)
	w := newStore(t)
	cfg := inStore(t, one, w)
	missing := cfg
	missing.Scratch = filepath.Join(cfg.Scratch, "missing")
	_, err := Run(context.Background(), missing)
	var e *ScratchError
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "the scratch folder "+missing.Scratch+", where shards are written before they are sent: ") ||
		!strings.Contains(err.Error(), "; name another folder with --scratch; 0 of 6 shards are finished and kept in mem://test/records: run the same command again to go on") {
		t.Errorf("error %v", err)
	}
	full := cfg
	var room atomic.Int64
	room.Store(15)
	full.create = func(path string, o records.WriterOptions) (shardWriter, error) {
		shard, err := records.CreateForwardShard(path, o)
		return &fullDisk{shard, path, &room}, err
	}
	_, err = Run(context.Background(), full)
	if !errors.As(err, &e) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "the scratch folder "+cfg.Scratch) ||
		!strings.Contains(err.Error(), "no space left on device; make room there, or name a folder on a larger disk with --scratch; ") ||
		!strings.HasSuffix(err.Error(), " 6 shards are finished and kept in mem://test/records: run the same command again to go on") {
		t.Errorf("error %v", err)
	}
	emptyScratch(t, cfg)
	most := 0
	w.before = func(op, name string) error {
		if op == "put" && strings.HasSuffix(name, ".arrow") {
			files, _ := filepath.Glob(filepath.Join(cfg.Scratch, "*", "*"))
			most = max(most, len(files))
		}
		return nil
	}
	if s := convert(t, cfg); s.Files == 33 {
		t.Error("nothing was kept")
	}
	if most < 1 || most > 2 {
		t.Errorf("%d shards lay in the scratch folder at the same time, want one that is sent and one that is made", most)
	}
	emptyScratch(t, cfg)
	sameObjects(t, "after a full scratch folder", w, one.Out)
}
