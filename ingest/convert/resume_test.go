package convert

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"alexnet/ingest/source"
	"alexnet/records"
	"alexnet/records/filelock"
	"alexnet/tools/drawn"
)

// The environment of a child process: this test binary, run as an ingest that
// takes its time.
const (
	childSource = "INGEST_TEST_SOURCE"
	childOut    = "INGEST_TEST_OUT"
	childTask   = "INGEST_TEST_TASK" // if set, the number of one of two tasks
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childSource); dir != "" {
		os.Exit(child(dir, os.Getenv(childOut)))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(drawnOnce.dir)
		os.Exit(code)
	}))
}

// child converts slowly and prints a line for each shard that is finished.
func child(dir, out string) int {
	src, err := source.Open(context.Background(), dir, source.Options{})
	if err == nil {
		cfg := config(slowly(src, 4*time.Millisecond), out)
		cfg.Jobs, cfg.ShardBytes = 2, 2*3*16*16*2
		if text := os.Getenv(childTask); text != "" {
			cfg.Task.Count = 2
			if cfg.Task.Index, err = strconv.Atoi(text); err != nil {
				fmt.Println(err)
				return 1
			}
		}
		shards := 0
		cfg.Progress = func(p Progress) {
			if p.Shards > shards {
				shards = p.Shards
				fmt.Println("shards", shards)
			}
		}
		_, err = Run(context.Background(), cfg)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// TestKill kills an ingest with SIGKILL, several times, and goes on. In the end
// all files must be as if nothing had happened, and no finished shard may have
// been made twice.
func TestKill(t *testing.T) {
	cfg := config(smallSource(t), filepath.Join(t.TempDir(), "out"))
	cfg.ShardBytes = 2 * 3 * 16 * 16 * 2 // 12 + 5 shards
	undisturbed := cfg
	undisturbed.Out = filepath.Join(t.TempDir(), "undisturbed")
	convert(t, undisturbed)

	made := map[string]time.Time{}
	for _, after := range []string{"shards 1", "shards 4", "shards 9"} {
		kill(t, drawnOnce.dir, cfg.Out, after)
		if _, err := os.Stat(filepath.Join(cfg.Out, records.ManifestName)); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal("the ingest was finished before it was killed")
		}
		if _, err := records.Open(cfg.Out); err == nil {
			t.Error("an unfinished output can be opened")
		}
		for shard, at := range made {
			if now := modified(t, filepath.Join(cfg.Out, shard)); !now.Equal(at) {
				t.Errorf("%s was made again", shard)
			}
		}
		parts, err := filepath.Glob(filepath.Join(cfg.Out, stateName, "*.part"))
		if err != nil || len(parts) <= len(made) {
			t.Fatalf("%d shards are finished, %d were before (%v)", len(parts), len(made), err)
		}
		for _, part := range parts {
			shard := strings.TrimSuffix(filepath.Base(part), ".part")
			made[shard] = modified(t, filepath.Join(cfg.Out, shard))
		}
	}
	// What a kill may leave half-written.
	for _, name := range []string{"train-00000-of-00012.arrow.tmp-99-0", filepath.Join(stateName, "baseline.tmp-99-0")} {
		if err := os.WriteFile(filepath.Join(cfg.Out, name), []byte("half"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	s := convert(t, cfg)
	sameTree(t, "after three kills", cfg.Out, undisturbed.Out)
	if s.Files >= 33-len(made) {
		t.Errorf("the last run dealt with %d files, and %d shards were finished", s.Files, len(made))
	}
	for shard, at := range made {
		if now := modified(t, filepath.Join(cfg.Out, shard)); !now.Equal(at) {
			t.Errorf("%s was made again", shard)
		}
	}
}

// kill runs an ingest until it prints the line and kills it there.
func kill(t *testing.T, dir, out, line string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childSource+"="+dir, childOut+"="+out)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, found := []string{}, false
	for lines := bufio.NewScanner(stdout); !found && lines.Scan(); {
		said = append(said, lines.Text())
		found = lines.Text() == line
	}
	if err := cmd.Process.Kill(); err != nil && !found {
		t.Fatal(err)
	}
	io.Copy(io.Discard, stdout)
	cmd.Wait()
	if !found {
		t.Fatalf("the ingest never said %q, but %q", line, said)
	}
}

func modified(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

// stopAt runs a job that is cancelled when n files are dealt with.
func stopAt(t *testing.T, cfg Config, n int) error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg.Progress = func(p Progress) {
		if p.Phase == PhaseConvert && p.Done-p.Earlier >= n {
			cancel()
		}
	}
	_, err := Run(ctx, cfg)
	if err == nil {
		t.Fatal("the job was finished before it was stopped")
	}
	return err
}

func TestInterrupt(t *testing.T) {
	src := smallSource(t)
	undisturbed := config(src, filepath.Join(t.TempDir(), "undisturbed"))
	convert(t, undisturbed)
	cfg := config(slowly(src, time.Millisecond), filepath.Join(t.TempDir(), "out"))
	cfg.Jobs = 2
	err := stopAt(t, cfg, 20)
	var stopped *StoppedError
	if !errors.As(err, &stopped) || !errors.Is(err, context.Canceled) || stopped.Shards != 6 || stopped.Done < 1 || stopped.Done > 4 {
		t.Fatalf("error %v (%+v)", err, stopped)
	}
	if want := fmt.Sprintf("interrupted; %d of 6 shards are finished and kept in %s: run the same command again to go on", stopped.Done, cfg.Out); err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if temps, _ := filepath.Glob(filepath.Join(cfg.Out, "*.tmp-*")); len(temps) > 0 {
		t.Errorf("temporaries are left: %v", temps)
	}
	var first Progress
	cfg.Progress = func(p Progress) {
		if first.Phase == "" {
			first = p
		}
	}
	convert(t, cfg)
	if first.Phase != PhaseConvert || first.Earlier == 0 || first.Done != first.Earlier || first.Shards != stopped.Done {
		t.Errorf("the second run began with %+v after %d shards", first, stopped.Done)
	}
	sameTree(t, "after an interruption", cfg.Out, undisturbed.Out)
}

func TestInterruptedBeforeStart(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	cfg := config(smallSource(t), filepath.Join(t.TempDir(), "out"))
	if _, err := Run(ctx, cfg); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "interrupted; 0 of 6 shards") {
		t.Errorf("error %v", err)
	}
}

// TestOtherRequest asks for something else than the output was begun for.
func TestOtherRequest(t *testing.T) {
	src := smallSource(t)
	dir := drawnOnce.dir
	cfg := config(src, filepath.Join(t.TempDir(), "out"))
	stopAt(t, cfg, 12)
	other := func(done bool) {
		t.Helper()
		holds := " holds an unfinished job with other options or files: "
		if done {
			holds = " holds records that were made with other options or files: "
		}
		for want, change := range map[string]func(*Config){
			"size was 16, is 20":                func(c *Config) { c.Size = 20 },
			"pixels was int16, is uint8":        func(c *Config) { c.Pixels = records.Uint8 },
			"compress was none, is zstd":        func(c *Config) { c.Compression = records.Zstd },
			"seed was 11, is 12":                func(c *Config) { c.Seed = 12 },
			"shard-size was 9216, is 9000":      func(c *Config) { c.ShardBytes = 9000 },
			"max-pixels was 100000000, is 1000": func(c *Config) { c.Limits.MaxPixels = 1000 },
			"train files were 24, are 10":       func(c *Config) { c.Source = open(t, dir, source.Options{Limit: 10}) },
			"train files: 24 as before, with other keys, labels or sizes": func(c *Config) {
				c.Source = open(t, folder(t, drawn.Options{Classes: 3, TrainPerClass: 8, ValPerClass: 3, Seed: 6, Devkit: true}), source.Options{})
			},
		} {
			cfg := cfg
			change(&cfg)
			_, err := Run(context.Background(), cfg)
			var changed *ChangedError
			if !errors.As(err, &changed) || !strings.Contains(err.Error(), cfg.Out+holds) || !strings.Contains(err.Error(), want) ||
				!strings.HasSuffix(err.Error(), "; use the same ones again, another --out, or --restart to throw it away and begin anew") {
				t.Errorf("error %v, want %q", err, want)
			}
		}
	}
	other(false)
	first := convert(t, cfg)
	before := tree(t, cfg.Out)
	other(true)
	again := convert(t, cfg)
	if !again.AlreadyDone || again.Files != 0 || first.AlreadyDone || again.Digest != first.Digest || again.Splits[0] != first.Splits[0] {
		t.Errorf("a finished job, again: %+v", again)
	}
	for name, sum := range tree(t, cfg.Out) {
		if before[name] != sum {
			t.Errorf("%s was changed", name)
		}
	}

	cfg.Restart, cfg.Size, cfg.ShardBytes = true, 20, 3*20*20*2*12
	err := stopAt(t, cfg, 20)
	if !strings.HasSuffix(err.Error(), "run the same command without --restart to go on") {
		t.Errorf("stopped after a restart: %v", err)
	}
	if files := tree(t, cfg.Out); len(files) > 8 || files["train-00000-of-00004.arrow"] != "" {
		t.Errorf("the restart left %v", files)
	}
	cfg.Restart = false
	s := convert(t, cfg)
	if s.AlreadyDone || s.Splits[0].Shards != 2 {
		t.Errorf("after a restart: %+v", s)
	}
}

// TestDamagedState makes again what does not fit its part, and only that.
func TestDamagedState(t *testing.T) {
	src := smallSource(t)
	cfg := config(src, filepath.Join(t.TempDir(), "out"))
	cfg.Jobs = 1
	stopAt(t, cfg, 24) // 4 shards of 6 are begun, and at least 2 finished
	parts, _ := filepath.Glob(filepath.Join(cfg.Out, stateName, "*.part"))
	if len(parts) < 2 {
		t.Fatalf("only %d shards are finished", len(parts))
	}
	if err := os.WriteFile(parts[0], []byte("{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	shard := filepath.Join(cfg.Out, strings.TrimSuffix(filepath.Base(parts[1]), ".part"))
	if err := os.Truncate(shard, 100); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Out, baselineName), []byte("nonsense"), 0o666); err != nil {
		t.Fatal(err)
	}
	s := convert(t, cfg)
	if want := 33 - 6*(len(parts)-2); s.Files != want {
		t.Errorf("%d files dealt with, want %d", s.Files, want)
	}
	undisturbed := config(src, filepath.Join(t.TempDir(), "undisturbed"))
	convert(t, undisturbed)
	sameTree(t, "after damage", cfg.Out, undisturbed.Out)

	if err := os.Truncate(shard, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), filepath.Base(shard)+" is damaged: it has 100 bytes, the manifest says ") || !strings.Contains(err.Error(), "use --restart to make it again") {
		t.Errorf("a finished output with a damaged shard: %v", err)
	}
	if err := os.Remove(shard); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), cfg); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "a shard is missing") {
		t.Errorf("a finished output without a shard: %v", err)
	}
}

func TestForeignOutput(t *testing.T) {
	cfg := config(smallSource(t), filepath.Join(t.TempDir(), "out"))
	if err := os.MkdirAll(cfg.Out, 0o777); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(cfg.Out, "notes.txt")
	for _, name := range []string{foreign, filepath.Join(cfg.Out, "val-00003-of-00009.arrow")} {
		if err := os.WriteFile(name, []byte("mine"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Run(context.Background(), cfg)
	var e *ForeignError
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "holds val-00003-of-00009.arrow, but no ingest.json that says how it was made") {
		t.Errorf("error %v", err)
	}
	cfg.Restart = true
	convert(t, cfg)
	if _, err := os.Stat(filepath.Join(cfg.Out, "val-00003-of-00009.arrow")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the foreign shard is still there: %v", err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a file that is none of ours was removed: %v", err)
	}
}

// TestRequestThatIsNotThere has an ingest.json that is listed and cannot be read:
// a link to nothing.
func TestRequestThatIsNotThere(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows lets only some users make symbolic links")
	}
	cfg := config(smallSource(t), filepath.Join(t.TempDir(), "out"))
	if err := os.MkdirAll(cfg.Out, 0o777); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(cfg.Out, requestName)
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	_, err := Run(context.Background(), cfg)
	if err == nil || !strings.HasPrefix(err.Error(), link+" is listed in its folder, and is not there to be read") {
		t.Errorf("error %v", err)
	}
	cfg.Restart = true
	convert(t, cfg)
}

func TestBusy(t *testing.T) {
	src := smallSource(t)
	cfg := config(src, filepath.Join(t.TempDir(), "out"))
	if err := os.MkdirAll(filepath.Join(cfg.Out, stateName), 0o777); err != nil {
		t.Fatal(err)
	}
	l, err := filelock.Open(filepath.Join(cfg.Out, stateName, lockName), false)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Run(context.Background(), cfg)
	var busy *BusyError
	if !errors.As(err, &busy) || !strings.HasSuffix(err.Error(), ": another ingest is working there; wait for it, or use another --out") {
		t.Errorf("error %v", err)
	}
	l.Close()
	convert(t, cfg)
}

// TestUnreadable has a file that cannot be read at first.
func TestUnreadable(t *testing.T) {
	src := smallSource(t)
	const bad = "ILSVRC2012_val_00000005.JPEG"
	cfg := config(&wrapped{src, func(it *source.Item) error {
		if it.Key == bad {
			return &source.IOError{File: bad, Err: fs.ErrPermission, Hint: "make it readable"}
		}
		return nil
	}}, filepath.Join(t.TempDir(), "out"))
	cfg.MaxRejects, cfg.Jobs = 1, 2
	_, err := Run(context.Background(), cfg)
	var stopped *StoppedError
	if !errors.As(err, &stopped) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), bad+": permission denied; make it readable; ") ||
		!strings.Contains(err.Error(), "shards are finished and kept in "+cfg.Out+": run the same command again to go on") {
		t.Fatalf("error %v", err)
	}
	cfg.Source = src
	s := convert(t, cfg)
	if s.Files == 33 || s.Splits[1].Written != 9 {
		t.Errorf("%d files dealt with, splits %+v", s.Files, s.Splits)
	}
}

func TestUnwritable(t *testing.T) {
	src := smallSource(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{file, filepath.Join(file, "out")} {
		_, err := Run(context.Background(), config(src, out))
		if err == nil || !errors.Is(err, syscall.ENOTDIR) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: error %v", out, err)
		}
	}
	if os.Getuid() == 0 {
		return // root may write everywhere
	}
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o555); err != nil {
		t.Fatal(err)
	}
	_, err := Run(context.Background(), config(src, filepath.Join(closed, "out")))
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "making the output folder: mkdir "+closed) {
		t.Errorf("error %v", err)
	}
}

// fullDisk is a shard whose disk is full after some rows.
type fullDisk struct {
	shardWriter
	path string
	room *atomic.Int64
}

func (w *fullDisk) Write(r records.Record) error {
	if w.room.Add(-1) < 0 {
		return fmt.Errorf("writing %s: %w", w.path, &fs.PathError{Op: "write", Path: w.path, Err: syscall.ENOSPC})
	}
	return w.shardWriter.Write(r)
}

// TestFullDisk lets the disk run full in the middle, and go on when there is
// room again.
func TestFullDisk(t *testing.T) {
	src := smallSource(t)
	cfg := config(src, filepath.Join(t.TempDir(), "out"))
	cfg.Jobs = 2
	var room atomic.Int64
	room.Store(15)
	cfg.create = func(path string, o records.WriterOptions) (shardWriter, error) {
		w, err := records.CreateShard(path, o)
		return &fullDisk{w, path, &room}, err
	}
	_, err := Run(context.Background(), cfg)
	checkFull(t, err, cfg.Out)
	if temps, _ := filepath.Glob(filepath.Join(cfg.Out, "*.tmp-*")); len(temps) > 0 {
		t.Errorf("temporaries are left: %v", temps)
	}
	room.Store(1 << 40)
	s := convert(t, cfg)
	if s.Files >= 33 || s.Files < 18 {
		t.Errorf("%d files dealt with after the disk was full", s.Files)
	}
	undisturbed := config(src, filepath.Join(t.TempDir(), "undisturbed"))
	convert(t, undisturbed)
	sameTree(t, "after a full disk", cfg.Out, undisturbed.Out)
}

// checkFull checks the message about a full disk.
func checkFull(t *testing.T, err error, out string) {
	t.Helper()
	var stopped *StoppedError
	if !errors.As(err, &stopped) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("error %v; want that the disk is full", err)
	}
	for _, part := range []string{out + string(filepath.Separator), ".arrow", "no space left on device", " 6 shards are finished and kept in " + out + ": make room there and run the same command again to go on"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}

// TestLockRemoved has several take the lock in turn, and remove it as one does who
// ends a job. At no time may two have it, and none may fail but for another one.
func TestLockRemoved(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no locks that end with the process")
	}
	out := osFolder(filepath.Join(t.TempDir(), "out"))
	var in, taken atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 300 {
				held, err := out.lock(false)
				if errors.Is(err, filelock.ErrLocked) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if in.Add(1) > 1 {
					t.Error("two have the lock")
				}
				taken.Add(1)
				in.Add(-1)
				if err := errors.Join(out.removeLock(), held.Close(), out.forget()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if taken.Load() == 0 {
		t.Error("nobody ever had the lock")
	}
}
