package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync/atomic"

	"alexnet/ingest/source"
	"alexnet/ingest/stats"
	"alexnet/records"
	"alexnet/records/atomicfile"
)

// Names in the output beside the shards, the mean and the manifest.
const (
	stateName    = ".ingest"  // folder of an unfinished job
	lockName     = "lock"     // in it
	baselineName = "baseline" // in it: the sums of the sample
	indexName    = "index"    // in it: what lies where in the source's archives
	rejectsName  = "rejects.jsonl"
	damagedName  = "damaged.jsonl"
)

// Reject is a file that gave no picture, one line of rejects.jsonl, or one whose
// picture was taken although a part of it is missing, a line of damaged.jsonl.
type Reject struct {
	Split   string `json:"split"`
	Key     string `json:"key"`
	Reason  string `json:"reason"`           // a class, see package decode
	Message string `json:"message"`          // the decoder's words
	Bytes   int64  `json:"bytes"`            // size of the file
	SHA256  string `json:"sha256,omitempty"` // of its bytes, where they were read
}

// part says that a shard is done.
type part struct {
	Request string            `json:"request"` // SHA-256 of the ingest.json that it was made for
	Shard   records.ShardInfo `json:"shard"`
	Seen    int               `json:"seen"`
	Rejects []Reject          `json:"rejects,omitempty"`
	Damaged []Reject          `json:"damaged,omitempty"` // among the rows
	Sums    []byte            `json:"sums,omitempty"`    // an encoded stats.Sums
}

// state is the memory of a job on disk.
type state struct {
	out      string
	dir      string // out/.ingest
	lock     io.Closer
	task     Task
	plan     *plan
	request  string            // SHA-256 of ingest.json
	outline  string            // and, for a task, of the outline
	manifest *records.Manifest // what every shard has to fit
	earlier  []bool            // shards that earlier runs finished
	fresh    atomic.Int64      // shards that this run finished
}

// openState makes the output ours: it locks it, checks that what is there
// belongs to the same request, and finds the shards that are done. Temporaries
// of killed runs are removed. A task of several shares the output with the
// others, and leaves temporaries alone, as they may be theirs.
func openState(cfg *Config, p *plan) (*state, error) {
	request, err := p.request.encode()
	if err != nil {
		return nil, err
	}
	s := &state{
		out: cfg.Out, dir: filepath.Join(cfg.Out, stateName), task: cfg.Task, plan: p, request: sha256Of(request),
		manifest: cfg.manifest(p), earlier: make([]bool, len(p.shards)),
	}
	if err := s.checkOwner(cfg.Restart); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.dir, 0o777); err != nil {
		return nil, fmt.Errorf("making the output folder: %w", err)
	}
	if s.lock, err = lock(filepath.Join(s.dir, lockName), !cfg.Task.whole()); err != nil {
		if errors.Is(err, errLocked) {
			return nil, &BusyError{Out: cfg.Out}
		}
		return nil, fmt.Errorf("locking the output folder: %w", err)
	}
	if err := s.prepare(cfg.Restart, request); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	return s, nil
}

// checkOwner returns an error when the output holds another job's files. It
// changes nothing.
func (s *state) checkOwner(restart bool) error {
	if restart {
		return nil
	}
	before, err := readRequest(s.out)
	if err != nil {
		return err
	}
	if before != nil {
		if d := before.differences(s.plan.request); len(d) > 0 {
			return &ChangedError{Out: s.out, Differences: d}
		}
		return nil
	}
	ours, err := ownFiles(s.out)
	if err != nil || len(ours) == 0 {
		return err
	}
	if slices.Contains(ours, requestName) { // of another task, which came a moment ago
		return s.checkOwner(false)
	}
	return &ForeignError{Out: s.out, File: ours[0]}
}

// prepare brings the locked output into a state in which the work can go on.
func (s *state) prepare(restart bool, request []byte) error {
	if restart {
		if err := s.wipe(); err != nil {
			return err
		}
	}
	if s.task.whole() {
		for _, dir := range []string{s.out, s.dir} {
			if err := removeTemps(dir); err != nil {
				return err
			}
		}
	} else if err := s.checkCount(); err != nil {
		return err
	}
	// Another process may have come first, or come now.
	if err := s.checkOwner(false); err != nil {
		return err
	}
	if err := s.claim(request); err != nil {
		return err
	}
	for _, i := range s.plan.own {
		s.earlier[i] = s.isDone(i)
	}
	return nil
}

// claim writes what the output is for, if that is not there. Of several tasks
// that come at the same time only one does; the others compare.
func (s *state) claim(request []byte) error {
	path := filepath.Join(s.out, requestName)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return s.checkOwner(false) // it may have come after the last look
	}
	f, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	if _, err := f.Write(request); err != nil {
		return errors.Join(err, f.Abort())
	}
	if err := f.CommitNew(); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.checkOwner(false)
}

// checkCount returns an error when tasks of another number of tasks are done
// here: the merge could not tell which to take.
func (s *state) checkCount() error {
	tasks, err := doneTasks(s.dir)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if t.Count != s.task.Count {
			return &TaskCountError{Dir: s.dir, Done: t, Task: s.task}
		}
	}
	return nil
}

// doneTasks lists the tasks whose done-markers are in dir.
func doneTasks(dir string) ([]Task, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("looking for tasks that are done: %w", err)
	}
	var tasks []Task
	for _, e := range entries {
		if t, ok := taskOfName(e.Name()); ok {
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

// describe writes what the tasks that follow need to know of the source, and,
// for a task, what the merge has to know of the job. All write the same, so it
// does not matter who is first.
func (s *state) describe(cfg *Config, lent *records.Dataset) error {
	if cfg.alone() {
		return nil
	}
	if err := source.SaveIndex(cfg.Source, filepath.Join(s.dir, indexName)); err != nil || cfg.Prepare {
		return err
	}
	if lent != nil {
		mean := &records.Mean{Shape: cfg.Shape(), Mean: lent.Mean.Mean, Baseline: make([]uint8, cfg.Shape().Size())}
		if cfg.Pixels == records.Int16 {
			mean.Baseline = lentBaseline(lent)
		}
		if _, err := records.WriteMean(filepath.Join(s.dir, records.MeanName), mean); err != nil {
			return err
		}
	}
	o := newOutline(cfg, s.plan, s.request, lent)
	data, err := sealed(o)
	if err != nil {
		return err
	}
	s.outline = sha256Of(data)
	return writeSealed(filepath.Join(s.dir, outlineName), o)
}

var shardNameTable = regexp.MustCompile(`^[a-z]+-[0-9]{5,}-of-[0-9]{5,}\.arrow$`)

// ownFiles lists the files in dir that a job makes, and that a restart removes.
func ownFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking into the output folder: %w", err)
	}
	var own []string
	for _, e := range entries {
		switch name := e.Name(); {
		case name == records.ManifestName, name == records.MeanName, name == rejectsName, name == damagedName, name == requestName,
			shardNameTable.MatchString(name):
			own = append(own, name)
		}
	}
	return own, nil
}

// wipe removes everything that a job made. The manifest goes first.
func (s *state) wipe() error {
	own, err := ownFiles(s.out)
	if err != nil {
		return err
	}
	for _, name := range append([]string{records.ManifestName}, own...) {
		if err := os.Remove(filepath.Join(s.out, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("throwing away the earlier records: %w", err)
		}
	}
	if err := s.empty(); err != nil {
		return fmt.Errorf("throwing away the earlier records: %w", err)
	}
	return nil
}

// removeTemps removes what killed runs left half-written.
func removeTemps(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking into the output folder: %w", err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() && atomicfile.IsTemp(e.Name()) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("removing what an earlier run left: %w", err)
			}
		}
	}
	return nil
}

// readRequest returns what the output was made for, nil if it does not say.
func readRequest(out string) (*request, error) {
	path := filepath.Join(out, requestName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what the output was made for: %w", err)
	}
	var r request
	err = json.Unmarshal(data, &r)
	if err == nil && r.Format != requestFormat {
		err = fmt.Errorf("its format is %q, not %q", r.Format, requestFormat)
	}
	if err != nil {
		return nil, fmt.Errorf("%s does not say what the output was made for: %w; use another --out, or --restart to begin anew", path, err)
	}
	if r.Version != requestVersion {
		return nil, fmt.Errorf("%s is of version %d and this program knows version %d; use another --out, or --restart to begin anew", path, r.Version, requestVersion)
	}
	return &r, nil
}

// partPath is where the part of shard i is.
func (s *state) partPath(i int) string {
	return filepath.Join(s.dir, s.plan.shards[i].name+".part")
}

// isDone says whether shard i has been finished: its part is there and fits it,
// and the shard has the size, the ends, the schema and the rows that it should
// have. Its bytes are for inspect verify.
func (s *state) isDone(i int) bool {
	p, err := s.readPart(i)
	if err != nil {
		return false
	}
	return records.CheckShard(s.out, s.manifest, s.plan.shards[i].split, p.Shard) == nil
}

// readPart reads and checks the part of shard i.
func (s *state) readPart(i int) (*part, error) {
	shard, path := &s.plan.shards[i], s.partPath(i)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := new(part)
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if p.Request != s.request || p.Shard.File != shard.name || p.Seen != len(shard.items) || p.Seen != p.Shard.Rows+len(p.Rejects) || (p.Sums != nil) != shard.sums {
		return nil, fmt.Errorf("%s: not the part of %s with %d files", path, shard.name, len(shard.items))
	}
	return p, nil
}

// writePart marks shard i as done.
func (s *state) writePart(i int, p *part) error {
	if err := atomicfile.Write(s.partPath(i), func(w io.Writer) error { return writeJSON(w, p) }); err != nil {
		return err
	}
	s.fresh.Add(1)
	return nil
}

// readBaseline returns the sums of the sample, nil if they are not there.
func (s *state) readBaseline(shape records.Shape) *stats.Sums {
	data, err := os.ReadFile(filepath.Join(s.dir, baselineName))
	if err != nil {
		return nil
	}
	sums := stats.New(shape.C, shape.H, shape.W)
	if empty := stats.New(shape.C, shape.H, shape.W); sums.UnmarshalBinary(data) != nil || sums.Merge(empty) != nil {
		return nil
	}
	return sums
}

// writeBaseline keeps the sums of the sample.
func (s *state) writeBaseline(sums *stats.Sums) error {
	data, err := sums.MarshalBinary()
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(s.dir, baselineName), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// done returns how many shards are finished.
func (s *state) done() int {
	n := int(s.fresh.Load())
	for _, e := range s.earlier { // of others nothing is known
		if e {
			n++
		}
	}
	return n
}

// close gives up the lock and leaves everything for a later run.
func (s *state) close() error { return s.lock.Close() }

// remove ends a job that is done. The lock goes last, and is closed before,
// because not every system removes open files.
func (s *state) remove() error {
	err := errors.Join(s.empty(), s.lock.Close(), os.RemoveAll(s.dir))
	if err != nil {
		return fmt.Errorf("removing what is no longer needed: %w", err)
	}
	return nil
}

// empty removes everything in the state's folder but the lock.
func (s *state) empty() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != lockName {
			if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeJSON writes v as indented JSON.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(v)
}
