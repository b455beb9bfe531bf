package convert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"alexnet/ingest/source"
	"alexnet/records"
	"alexnet/tools/drawn"
)

// share has n tasks do a job, the last one first.
func share(t testing.TB, cfg Config, n int) {
	t.Helper()
	for i := n - 1; i >= 0; i-- {
		cfg.Task = Task{i, n}
		s := convert(t, cfg)
		if s.Task == nil || s.Task.Task != cfg.Task || s.Digest != "" {
			t.Errorf("task %v: summary %+v", cfg.Task, s)
		}
		if _, err := os.Stat(filepath.Join(cfg.Out, records.ManifestName)); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("task %v left a manifest (%v)", cfg.Task, err)
		}
	}
}

// merge merges what must be mergeable.
func merge(t testing.TB, out string) Summary {
	t.Helper()
	s, err := Merge(context.Background(), MergeConfig{Out: out, MaxRejects: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// spoiled is the small set with a file that is no picture and one that ends too
// early in each split.
func spoiled(t testing.TB) string {
	dir := folder(t, small())
	for i, pattern := range []string{"train/*/*_2.JPEG", "train/*/*_5.JPEG", "val/*_00000003.JPEG", "val/*_00000007.JPEG"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("no file %s (%v)", pattern, err)
		}
		data, err := os.ReadFile(found[0])
		if err != nil {
			t.Fatal(err)
		}
		if data = data[:len(data)*3/4]; i%2 == 0 {
			data = []byte("no picture")
		}
		if err := os.WriteFile(found[0], data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestTasks compares every file of a job that was shared with those of one
// process, for folders and for archives.
func TestTasks(t *testing.T) {
	tars := filepath.Join(t.TempDir(), "tars")
	if err := drawn.WriteTars(context.Background(), tars, small()); err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string]string{"folder": spoiled(t), "tars": tars} {
		for _, pixels := range []records.PixelType{records.Int16, records.Uint8} {
			cfg := config(open(t, src, source.Options{}), filepath.Join(t.TempDir(), "one"))
			cfg.Pixels, cfg.MaxRejects, cfg.Jobs, cfg.KeepTruncated = pixels, 1, 2, true
			cfg.ShardBytes = int64(3 * 3 * 16 * 16 * pixels.Size()) // 8 + 3 shards
			cfg.BaselineSample = 5                                  // of 24: another sample would be another baseline
			whole := convert(t, cfg)
			for _, n := range []int{1, 2, 3, 7, 20} {
				shared := cfg
				shared.Out = filepath.Join(t.TempDir(), "shared")
				share(t, shared, n)
				s := merge(t, shared.Out)
				sameTree(t, fmt.Sprintf("%s, %s, %d tasks", name, pixels, n), shared.Out, cfg.Out)
				if s.Digest != whole.Digest || s.AlreadyDone || fmt.Sprint(s.Splits) != fmt.Sprint(whole.Splits) || s.MeanRGB != whole.MeanRGB || s.Baseline != whole.Baseline {
					t.Errorf("merged: %+v, of one process: %+v", s, whole)
				}
			}
		}
	}
}

// TestTasksBorrow shares a job whose mean picture is that of other records.
func TestTasksBorrow(t *testing.T) {
	for _, pixels := range []records.PixelType{records.Int16, records.Uint8} {
		lender := config(smallSource(t), filepath.Join(t.TempDir(), "lender"))
		lender.Pixels = pixels
		convert(t, lender)
		dir := folder(t, small())
		if err := os.RemoveAll(filepath.Join(dir, "train")); err != nil {
			t.Fatal(err)
		}
		cfg := config(open(t, dir, source.Options{}), filepath.Join(t.TempDir(), "one"))
		cfg.MeanFrom = lender.Out
		convert(t, cfg)
		shared := cfg
		shared.Out = filepath.Join(t.TempDir(), "shared")
		share(t, shared, 2)
		merge(t, shared.Out)
		sameTree(t, "a borrowed mean", shared.Out, cfg.Out)
	}
}

// TestTasksPrepared lets the tasks use a baseline that was made before them.
func TestTasksPrepared(t *testing.T) {
	cfg := config(smallSource(t), filepath.Join(t.TempDir(), "one"))
	cfg.BaselineSample = 5
	convert(t, cfg)
	shared := cfg
	shared.Out, shared.Prepare = filepath.Join(t.TempDir(), "shared"), true
	if s := convert(t, shared); s.Shards != 6 || s.Decoded != 5 || s.Digest != "" {
		t.Errorf("prepared: %+v", s)
	}
	shared.Prepare, shared.Task = false, Task{0, 3}
	if s := convert(t, shared); s.Decoded != s.Files {
		t.Errorf("%d decoded for %d files: the sample was taken again", s.Decoded, s.Files)
	}
	share(t, shared, 3)
	merge(t, shared.Out)
	sameTree(t, "after a preparation", shared.Out, cfg.Out)
}

// TestTasksIndex has the archives scanned by the first task only: for the others
// they are made such that a scan would fail.
func TestTasksIndex(t *testing.T) {
	tars := filepath.Join(t.TempDir(), "tars")
	if err := drawn.WriteTars(context.Background(), tars, small()); err != nil {
		t.Fatal(err)
	}
	one := config(open(t, tars, source.Options{}), filepath.Join(t.TempDir(), "one"))
	convert(t, one)
	out := filepath.Join(t.TempDir(), "shared")
	task := func(i int) string {
		src := open(t, tars, source.Options{Index: IndexPath(out)})
		cfg := config(src, out)
		cfg.Task = Task{i, 3}
		convert(t, cfg)
		return src.Describe()
	}
	if text := task(0); strings.Contains(text, "by its index") {
		t.Errorf("the first task: %s", text)
	}
	for _, name := range []string{"ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"} {
		breakTar(t, filepath.Join(tars, name))
	}
	if _, err := source.Open(context.Background(), tars, source.Options{}); err == nil {
		t.Fatal("the archives can be scanned")
	}
	for i := 1; i < 3; i++ {
		if text := task(i); strings.Count(text, "by its index") != 2 {
			t.Errorf("task %d: %s", i, text)
		}
	}
	merge(t, out)
	sameTree(t, "by an index", out, one.Out)
}

// breakTar spoils the header of the last member of an archive, and leaves size
// and time as they were.
func breakTar(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndex(data, []byte("ustar"))
	copy(data[last-257:], bytes.Repeat([]byte("x"), 512))
	if err := errors.Join(os.WriteFile(path, data, 0o666), os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
}

// TestTasksAtOnce has all tasks start in the same moment, and each twice.
func TestTasksAtOnce(t *testing.T) {
	src := smallSource(t)
	one := config(src, filepath.Join(t.TempDir(), "one"))
	one.ShardBytes, one.BaselineSample = 2*3*16*16*2, 5
	convert(t, one)
	shared := one
	shared.Out, shared.Jobs = filepath.Join(t.TempDir(), "shared"), 1
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			cfg := shared
			cfg.Task = Task{i / 2, 3}
			if _, err := Run(context.Background(), cfg); err != nil {
				t.Errorf("task %v: %v", cfg.Task, err)
			}
		})
	}
	group.Wait()
	merge(t, shared.Out)
	sameTree(t, "tasks at once", shared.Out, one.Out)
}

// TestTasksDiffer has two tasks of different jobs come first in the same moment:
// one of them must be refused, and the output be that of the other.
func TestTasksDiffer(t *testing.T) {
	src := smallSource(t)
	for range 5 {
		out := filepath.Join(t.TempDir(), "out")
		var group sync.WaitGroup
		errs := make([]error, 2)
		for i := range errs {
			group.Go(func() {
				cfg := config(src, out)
				cfg.Seed, cfg.Task, cfg.Jobs = uint64(i), Task{0, 1}, 1
				_, errs[i] = Run(context.Background(), cfg)
			})
		}
		group.Wait()
		var changed *ChangedError
		refused := 0
		for _, err := range errs {
			if errors.As(err, &changed) {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		}
		if refused != 1 {
			t.Fatalf("errors %v; want that one job is refused", errs)
		}
		merge(t, out)
		if err := records.Verify(context.Background(), out, nil); err != nil {
			t.Error(err)
		}
	}
}

// TestTaskLate has a task of another job take the folder between the last look and
// the claim.
func TestTaskLate(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	cfg := config(smallSource(t), out)
	cfg.Task = Task{0, 1}
	if err := cfg.complete(); err != nil {
		t.Fatal(err)
	}
	p, err := newPlan(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	other := *p.request
	other.Options = append([]setting{{"seed", "another"}}, other.Options...)
	theirs, err := other.encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(out, 0o777), os.WriteFile(filepath.Join(out, requestName), theirs, 0o666)); err != nil {
		t.Fatal(err)
	}
	var changed *ChangedError
	if err := (&state{out: osFolder(out), plan: p}).claim(t.Context(), nil); !errors.As(err, &changed) {
		t.Errorf("claiming what another job has claimed: %v", err)
	}
}

// TestTasksKilled kills tasks with SIGKILL and runs them again.
func TestTasksKilled(t *testing.T) {
	cfg := config(smallSource(t), filepath.Join(t.TempDir(), "out"))
	cfg.ShardBytes = 2 * 3 * 16 * 16 * 2 // 12 + 5 shards
	one := cfg
	one.Out = filepath.Join(t.TempDir(), "one")
	convert(t, one)
	for i := range 2 {
		t.Setenv(childTask, fmt.Sprint(i))
		kill(t, drawnOnce.dir, cfg.Out, "shards 2")
		kill(t, drawnOnce.dir, cfg.Out, "shards 5")
		if _, err := os.Stat(filepath.Join(cfg.Out, Task{i, 2}.doneName())); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("a killed task has a done-marker (%v)", err)
		}
	}
	half := filepath.Join(cfg.Out, "train-00000-of-00012.arrow.tmp-99-0")
	if err := os.WriteFile(half, []byte("half"), 0o666); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		cfg.Task = Task{i, 2}
		if s := convert(t, cfg); s.Files > 9 {
			t.Errorf("task %d dealt with %d files again, of 17 and with 5 shards finished", i, s.Files)
		}
	}
	if _, err := os.Stat(half); err != nil {
		t.Errorf("a task removed what may be another's: %v", err)
	}
	merge(t, cfg.Out)
	sameTree(t, "after kills", cfg.Out, one.Out)
}

// TestGoOnAlone ends a job that was begun by tasks in one process.
func TestGoOnAlone(t *testing.T) {
	one := config(smallSource(t), filepath.Join(t.TempDir(), "one"))
	convert(t, one)
	shared := one
	shared.Out, shared.Task = filepath.Join(t.TempDir(), "shared"), Task{1, 2}
	convert(t, shared)
	shared.Task = Task{}
	if s := convert(t, shared); s.Files >= 33 {
		t.Errorf("%d files dealt with: the task's were made again", s.Files)
	}
	sameTree(t, "going on alone", shared.Out, one.Out)
}

// TestMergeTwice merges again, also after a merge that was killed at its very end.
func TestMergeTwice(t *testing.T) {
	cfg := config(smallSource(t), filepath.Join(t.TempDir(), "out"))
	share(t, cfg, 2)
	first := merge(t, cfg.Out)
	want := tree(t, cfg.Out)
	if err := os.MkdirAll(filepath.Join(cfg.Out, stateName), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(stateName, "train-00000-of-00004.arrow.part"), "val-00000-of-00002.arrow.tmp-1-2"} {
		if err := os.WriteFile(filepath.Join(cfg.Out, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if s := merge(t, cfg.Out); !s.AlreadyDone || s.Digest != first.Digest || len(s.Splits) != 2 {
			t.Errorf("merged again: %+v", s)
		}
		if got := tree(t, cfg.Out); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Error("merging again changed the output")
		}
	}
	cfg.Task = Task{0, 2}
	if s := convert(t, cfg); !s.AlreadyDone {
		t.Errorf("a task after the merge: %+v", s)
	}
	if err := os.Remove(filepath.Join(cfg.Out, "val-00000-of-00002.arrow")); err != nil {
		t.Fatal(err)
	}
	if _, err := Merge(context.Background(), MergeConfig{Out: cfg.Out}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "val-00000-of-00002.arrow") {
		t.Errorf("merging again without a shard: %v", err)
	}
}

// TestMergeRefuses has parts that are missing, damaged, or of something else.
func TestMergeRefuses(t *testing.T) {
	src := smallSource(t)
	done := func(out string, i, n int) string { return filepath.Join(out, Task{i, n}.doneName()) }
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, out string) {
			if err := os.Remove(filepath.Join(out, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	change := func(name string, f func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, out string) {
			data, err := os.ReadFile(filepath.Join(out, name))
			if err == nil {
				err = os.WriteFile(filepath.Join(out, name), f(data), 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	half := func(b []byte) []byte { return b[:len(b)/2] }
	flip := func(b []byte) []byte { b[len(b)/3] ^= 1; return b }
	marker := Task{1, 3}.doneName()
	for _, test := range []struct {
		name string
		harm func(*testing.T, string)
		want []string
		is   error
	}{
		{"missing", remove(marker), []string{"for 1 of 3 parts: task-00001-of-00003.done: missing: run --shard 1/3 again"}, fs.ErrNotExist},
		{"two missing", func(t *testing.T, out string) {
			remove(marker)(t, out)
			remove(Task{2, 3}.doneName())(t, out)
		}, []string{"2 of 3 parts", "task-00001-of-00003.done: missing", "task-00002-of-00003.done: missing: run --shard 2/3"}, fs.ErrNotExist},
		{"cut off", change(marker, half), []string{"task-00001-of-00003.done: it is damaged", "run --shard 1/3 again"}, ErrDamagedPart},
		{"empty", change(marker, func([]byte) []byte { return nil }), []string{"task-00001-of-00003.done: it is damaged"}, ErrDamagedPart},
		{"a bit", change(marker, flip), []string{"task-00001-of-00003.done: it is damaged"}, ErrDamagedPart},
		{"another's", func(t *testing.T, out string) {
			other := config(src, filepath.Join(t.TempDir(), "other"))
			other.Seed = 99
			share(t, other, 3)
			if err := os.Rename(done(other.Out, 1, 3), done(out, 1, 3)); err != nil {
				t.Fatal(err)
			}
		}, []string{"task-00001-of-00003.done: it belongs to a job with other options or files"}, ErrForeignPart},
		{"another source's", func(t *testing.T, out string) {
			o := small()
			o.Seed++
			other := config(open(t, folder(t, o), source.Options{}), filepath.Join(t.TempDir(), "other"))
			share(t, other, 3)
			if err := os.Rename(done(other.Out, 1, 3), done(out, 1, 3)); err != nil {
				t.Fatal(err)
			}
		}, []string{"task-00001-of-00003.done: it belongs to a job with other options or files"}, ErrForeignPart},
		{"another task's", func(t *testing.T, out string) {
			if err := os.Rename(done(out, 0, 3), done(out, 1, 3)); err != nil {
				t.Fatal(err)
			}
		}, []string{"task-00000-of-00003.done: missing", "task-00001-of-00003.done: it is that of task 0/3 under another name"}, fs.ErrNotExist},
		{"another number", func(t *testing.T, out string) {
			if err := os.Rename(done(out, 2, 3), done(out, 2, 4)); err != nil {
				t.Fatal(err)
			}
		}, []string{"holds task-00000-of-00003.done and task-00002-of-00004.done, of tasks that shared the job differently"}, nil},
		{"no task done", func(t *testing.T, out string) {
			for i := range 3 {
				remove(Task{i, 3}.doneName())(t, out)
			}
		}, []string{"no task is done yet"}, ErrNoTaskDone},
		{"short shard", change("train-00001-of-00004.arrow", half), []string{"task-00001-of-00003.done: ", "train-00001-of-00004.arrow", "run --shard 1/3 again"}, nil},
		{"missing shard", remove("train-00001-of-00004.arrow"), []string{"task-00001-of-00003.done: ", "train-00001-of-00004.arrow", "run --shard 1/3 again"}, fs.ErrNotExist},
		{"no baseline", remove(baselineName), []string{"baseline is missing or damaged; run a task of the job again"}, nil},
		{"outline", change(outlineName, flip), []string{"outline.json: it is damaged", "run a task of the job again"}, nil},
		{"request", change(requestName, func(b []byte) []byte { return append(b, ' ') }), []string{"outline.json: it belongs to a job with other options or files than ingest.json"}, ErrForeignPart},
		{"no state", func(t *testing.T, out string) {
			if err := os.RemoveAll(filepath.Join(out, stateName)); err != nil {
				t.Fatal(err)
			}
		}, []string{"holds nothing to merge: run all tasks first"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(src, filepath.Join(t.TempDir(), "out"))
			share(t, cfg, 3)
			test.harm(t, cfg.Out)
			_, err := Merge(context.Background(), MergeConfig{Out: cfg.Out, MaxRejects: 1})
			if err == nil || test.is != nil && !errors.Is(err, test.is) {
				t.Fatalf("error %v, want %v", err, test.is)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if _, err := os.Stat(filepath.Join(cfg.Out, records.ManifestName)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("there is a manifest all the same (%v)", err)
			}
		})
	}
}

// TestMergeAfterHarm does what the messages say, and gets the right bytes.
func TestMergeAfterHarm(t *testing.T) {
	src := smallSource(t)
	one := config(src, filepath.Join(t.TempDir(), "one"))
	convert(t, one)
	cfg := config(src, filepath.Join(t.TempDir(), "out"))
	share(t, cfg, 3)
	for _, name := range []string{Task{1, 3}.doneName(), outlineName, baselineName, "train-00001-of-00004.arrow"} {
		if err := os.WriteFile(filepath.Join(cfg.Out, name), []byte("damaged"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Task = Task{1, 3}
	convert(t, cfg)
	merge(t, cfg.Out)
	sameTree(t, "after harm", cfg.Out, one.Out)
}

// TestMergeBusy merges while a task is at work.
func TestMergeBusy(t *testing.T) {
	src := smallSource(t)
	cfg := config(src, filepath.Join(t.TempDir(), "out"))
	share(t, cfg, 2)
	cfg.Task = Task{0, 2}
	var mergeErr error
	cfg.Progress = func(p Progress) {
		if p.Phase == PhaseConvert {
			_, mergeErr = Merge(context.Background(), MergeConfig{Out: cfg.Out})
		}
	}
	convert(t, cfg)
	var busy *BusyError
	if !errors.As(mergeErr, &busy) {
		t.Errorf("error %v, want that a task is at work", mergeErr)
	}
	merge(t, cfg.Out)
}

// TestTaskRefused has tasks that do not fit.
func TestTaskRefused(t *testing.T) {
	src := smallSource(t)
	begun := config(src, filepath.Join(t.TempDir(), "out"))
	begun.Task = Task{0, 3}
	convert(t, begun)
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no tasks", func(c *Config) { c.Task = Task{1, 0} }, "--shard is 1/0; there must be 1 to 99999 tasks"},
		{"too many", func(c *Config) { c.Task = Task{1, 100000} }, "there must be 1 to 99999 tasks"},
		{"too high", func(c *Config) { c.Task = Task{3, 3} }, "--shard is 3/3; the tasks are counted from 0, so the last is 2/3"},
		{"negative", func(c *Config) { c.Task = Task{-1, 3} }, "--shard is -1/3"},
		{"restart", func(c *Config) { c.Restart = true }, "--restart is not for a task"},
		{"prepare", func(c *Config) { c.Prepare = true }, "--index is done once, before the tasks"},
		{"other number", func(c *Config) { c.Task = Task{1, 4} }, "--shard 1/4 does not go with the task that is done already, task-00000-of-00003.done"},
		{"other options", func(c *Config) { c.Task, c.Seed = Task{1, 3}, 12 }, "seed was 11, is 12"},
	} {
		cfg := begun
		test.change(&cfg)
		if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
	if _, err := Merge(context.Background(), MergeConfig{Out: begun.Out, MaxRejects: 2}); err == nil || !strings.Contains(err.Error(), "--max-rejects is 2") {
		t.Errorf("max-rejects: %v", err)
	}
}

// TestMergeRejects counts what all tasks rejected, which is more than each did.
func TestMergeRejects(t *testing.T) {
	cfg := config(open(t, spoiled(t), source.Options{}), filepath.Join(t.TempDir(), "out"))
	cfg.MaxRejects = 0.03 // 3 of 100; there are 4
	share(t, cfg, 4)
	var many *TooManyRejectsError
	if _, err := Merge(context.Background(), MergeConfig{Out: cfg.Out, MaxRejects: 0.03}); !errors.As(err, &many) || many.Rejected != 4 || many.Total != 33 {
		t.Errorf("error %v", err)
	}
	var strict *RejectError
	if _, err := Merge(context.Background(), MergeConfig{Out: cfg.Out, MaxRejects: 1, Strict: true}); !errors.As(err, &strict) {
		t.Errorf("error %v", err)
	}
	merge(t, cfg.Out)
}
