package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"alexnet/records"
	"alexnet/records/atomicfile"
	"alexnet/tools/drawn"
)

// killer runs ingest and kills it.
type killer struct {
	flags  *flags
	dir    string // to work in
	out    io.Writer
	random *rand.Rand
	bin    string
	src    string

	want   map[string]string // the digests of the files of the undisturbed run
	digest string
	shards int
	took   time.Duration // of the undisturbed run

	rounds, hits, late int            // jobs compared; kills that hit a running process, and that came too late
	withShards         int            // hits that found finished shards
	at                 map[string]int // hits by moment
	twins              int            // tasks, or jobs in a store, that were done twice at once
}

// newKiller makes what is to be ingested and how it should come out.
func newKiller(ctx context.Context, f *flags, dir string, out io.Writer) (*killer, error) {
	k := &killer{flags: f, dir: dir, out: out, random: rand.New(rand.NewPCG(f.Seed, 0)), bin: f.Ingest, src: f.Src, at: map[string]int{}}
	if k.bin == "" {
		k.bin = filepath.Join(dir, "ingest")
		if runtime.GOOS == "windows" {
			k.bin += ".exe"
		}
		build := exec.CommandContext(ctx, "go", "build", "-o", k.bin, "alexnet/ingest")
		if text, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building ingest: %w: %s; start from the folder of the repository, or give --ingest", err, bytes.TrimSpace(text))
		}
	}
	if k.src == "" {
		k.src = filepath.Join(dir, "pictures")
		if err := drawn.WriteFolder(ctx, k.src, drawn.Options{Classes: 6, TrainPerClass: 30, ValPerClass: 8, Seed: f.Seed}); err != nil {
			return nil, fmt.Errorf("drawing pictures: %w", err)
		}
		if err := spoil(k.src); err != nil {
			return nil, err
		}
	}
	undisturbed := filepath.Join(dir, "undisturbed")
	start := time.Now()
	if err := k.finish(ctx, undisturbed); err != nil {
		return nil, fmt.Errorf("undisturbed: %w", err)
	}
	k.took = time.Since(start)
	var err error
	if k.digest, k.want, err = content(undisturbed); err != nil {
		return nil, err
	}
	k.shards = shardsIn(undisturbed)
	fmt.Fprintf(out, "undisturbed: %d files, %d shards, %v, digest %s\n", len(k.want), k.shards, k.took.Round(time.Millisecond), k.digest)
	return k, nil
}

// spoil replaces a drawn picture by something else, so that there is a reject.
func spoil(src string) error {
	files, err := filepath.Glob(filepath.Join(src, "train", "*", "*_3.JPEG"))
	if err != nil || len(files) == 0 {
		return errors.Join(err, errors.New("nothing to spoil among the drawn pictures"))
	}
	return os.WriteFile(files[0], []byte("not a picture"), 0o666)
}

// command is an ingest into a folder, or a part of one.
func (k *killer) command(ctx context.Context, out string, more ...string) *exec.Cmd {
	f := k.flags
	args := append(k.outFlags(out), "--src", k.src, "--size", strconv.Itoa(f.Size),
		"--shard-size", f.ShardSize, "--jobs", strconv.Itoa(f.Jobs), "--max-rejects", "1")
	if k.inStore(out) {
		args = append(args, "--scratch", k.dir)
	}
	return exec.CommandContext(ctx, k.bin, append(args, more...)...)
}

// inStore says whether a folder holds the objects of a store.
func (k *killer) inStore(out string) bool {
	return k.flags.OutURL != "" && filepath.Dir(filepath.Dir(out)) == filepath.Clean(k.flags.OutFiles)
}

// outFlags has ingest write to a folder, by its URL where that is of a store.
func (k *killer) outFlags(out string) []string {
	if !k.inStore(out) {
		return []string{"--out", out}
	}
	address, parameters, found := strings.Cut(k.flags.OutURL, "?")
	address = strings.TrimRight(address, "/") + "/" + filepath.Base(filepath.Dir(out)) + "/" + filepath.Base(out)
	if found {
		address += "?" + parameters
	}
	return []string{"--out", address}
}

// finish runs an ingest to its end.
func (k *killer) finish(ctx context.Context, out string) error { return end(k.command(ctx, out)) }

// end runs a command to its end.
func end(cmd *exec.Cmd) error {
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ingest: %w: %s", err, bytes.TrimSpace(text))
	}
	return nil
}

// round kills a job a few times, lets it run to its end and compares.
func (k *killer) round(ctx context.Context, out string) error {
	command := func() *exec.Cmd { return k.command(ctx, out) }
	last := []string{records.MeanName, "rejects.jsonl", records.ManifestName}
	// A folder is locked for one process, a store is not.
	if err := k.besideTwin(k.inStore(out) && k.random.IntN(2) == 0, command, func() error { return k.killAndGoOn(command, out, last) }); err != nil {
		return err
	}
	return k.compare(out)
}

// besideTwin does some work, while a twin runs a command if there is to be one,
// which must end well.
func (k *killer) besideTwin(wanted bool, command func() *exec.Cmd, work func() error) error {
	if !wanted {
		return work()
	}
	cmd := command()
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Start(); err != nil {
		return err
	}
	err := work()
	if twin := cmd.Wait(); twin != nil && err == nil {
		err = fmt.Errorf("the twin: %w: %s", twin, bytes.TrimSpace(text.Bytes()))
	}
	if err == nil {
		k.twins++
	}
	return err
}

// killAndGoOn kills a command a few times, and lets it run to its end. last are
// the files that it writes at its end.
func (k *killer) killAndGoOn(command func() *exec.Cmd, out string, last []string) error {
	for range 1 + k.random.IntN(k.flags.PerJob) {
		if k.hits == k.flags.Kills {
			break
		}
		ended, err := k.kill(command(), out, last)
		if err != nil {
			return err
		}
		if ended {
			break
		}
	}
	if err := end(command()); err != nil {
		return fmt.Errorf("going on after a kill: %w", err)
	}
	return nil
}

// compare compares a folder with what the undisturbed run made, and removes it.
func (k *killer) compare(out string) error {
	digest, got, err := content(out)
	if err != nil {
		return err
	}
	if k.inStore(out) { // what a killed writer to file:// left is no object, and never listed
		maps.DeleteFunc(got, func(name, _ string) bool { return atomicfile.IsTemp(name) })
	}
	if err := differences(k.want, got); err != nil {
		return err
	}
	if digest != k.digest {
		return fmt.Errorf("the digest is %s", digest)
	}
	k.rounds++
	return os.RemoveAll(out)
}

// moment waits until a process should be killed.
type moment struct {
	name string
	wait func(stop <-chan struct{})
}

// next chooses a moment of a run whose last files have these names.
func (k *killer) next(out string, last []string) moment {
	after := func(d time.Duration) func(<-chan struct{}) {
		return func(stop <-chan struct{}) {
			select {
			case <-stop:
			case <-time.After(d):
			}
		}
	}
	// until looks again and again, which finds a moment to within a part of a
	// millisecond, and then waits a little more.
	until := func(reached func() bool, more time.Duration) func(<-chan struct{}) {
		return func(stop <-chan struct{}) {
			for !reached() {
				select {
				case <-stop:
					return
				case <-time.After(200 * time.Microsecond):
				}
			}
			after(more)(stop)
		}
	}
	switch k.random.IntN(3) {
	case 0:
		return moment{"after a time", after(time.Duration(k.random.Int64N(int64(k.took))))}
	case 1:
		n, more := k.random.IntN(k.shards)+1, time.Duration(k.random.Int64N(int64(5*time.Millisecond)))
		return moment{"among the shards", until(func() bool { return shardsIn(out) >= n }, more)}
	}
	name := last[k.random.IntN(len(last))]
	more := time.Duration(k.random.Int64N(int64(2 * time.Millisecond)))
	return moment{"at " + filepath.Base(name), until(func() bool {
		_, err := os.Stat(filepath.Join(out, name))
		return err == nil
	}, more)}
}

// kill starts an ingest and kills it at some moment. It reports whether the
// ingest came to its end before.
func (k *killer) kill(cmd *exec.Cmd, out string, last []string) (ended bool, err error) {
	before := shardsIn(out)
	m := k.next(out, last)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Start(); err != nil {
		return false, err
	}
	exited := make(chan struct{})
	killed := make(chan error, 1)
	go func() {
		m.wait(exited)
		killed <- cmd.Process.Kill()
	}()
	err = cmd.Wait()
	close(exited)
	if kill := <-killed; kill != nil && !errors.Is(kill, os.ErrProcessDone) {
		return false, kill
	}
	if err == nil {
		k.late++
		return true, nil
	}
	if code := cmd.ProcessState.ExitCode(); runtime.GOOS != "windows" && code != -1 {
		return false, fmt.Errorf("ingest failed by itself, status %d: %s", code, bytes.TrimSpace(text.Bytes()))
	}
	k.hits++
	k.at[m.name]++
	after := shardsIn(out)
	if after > 0 {
		k.withShards++
	}
	if after < before {
		return false, fmt.Errorf("killed %s: %d shards were there before, %d are now", m.name, before, after)
	}
	return false, k.readable(out)
}

// readable checks that a killed job's folder is either no data set yet, or whole.
func (k *killer) readable(out string) error {
	_, err := records.ReadManifest(out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = records.Verify(context.Background(), out, nil)
	}
	if err != nil {
		return fmt.Errorf("after a kill the folder has a manifest, and is not whole: %w", err)
	}
	return nil
}

// summary prints what was hit.
func (k *killer) summary() {
	fmt.Fprintf(k.out, "%d kills hit a running ingest (%d came too late), %d of them found finished shards\n", k.hits, k.late, k.withShards)
	for _, name := range slices.Sorted(maps.Keys(k.at)) {
		fmt.Fprintf(k.out, "  %-20s %d\n", name, k.at[name])
	}
	switch {
	case k.flags.Tasks > 0:
		fmt.Fprintf(k.out, "each job was shared by %d tasks; %d tasks were done by two processes at once\n", k.flags.Tasks, k.twins)
	case k.flags.OutURL != "":
		fmt.Fprintf(k.out, "%d jobs were done by two processes at once\n", k.twins)
	}
	fmt.Fprintf(k.out, "%d jobs went on to their end, and every file was as undisturbed\n", k.rounds)
}

// shardsIn counts the shards in a folder.
func shardsIn(dir string) int {
	entries, _ := os.ReadDir(dir) // a missing folder has none
	n := 0
	for _, e := range entries {
		if strings.Contains(e.Name(), "-of-") && strings.HasSuffix(e.Name(), ".arrow") {
			n++
		}
	}
	return n
}

// content returns the digest of the records in a folder, and that of every file
// below it.
func content(dir string) (digest string, files map[string]string, err error) {
	m, err := records.ReadManifest(dir)
	if err != nil {
		return "", nil, err
	}
	files = map[string]string{}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files[name] = fmt.Sprintf("%x", sha256.Sum256(data))
		return err
	})
	return m.Digest, files, err
}

// differences compares the files of two folders.
func differences(want, got map[string]string) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch sum, there := got[name]; {
		case !there:
			errs = append(errs, fmt.Errorf("%s is missing", name))
		case sum != want[name]:
			errs = append(errs, fmt.Errorf("%s differs", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, there := want[name]; !there {
			errs = append(errs, fmt.Errorf("%s is left over", name))
		}
	}
	return errors.Join(errs...)
}
