package convert

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"alexnet/ingest/source"
	"alexnet/ingest/stats"
	"alexnet/records"
)

// MergeConfig says what to merge.
type MergeConfig struct {
	Out string // folder that the tasks wrote to
	// Strict and MaxRejects are as in Config, for the files of all tasks together.
	Strict     bool
	MaxRejects float64
}

// Merge ends a job that was shared by tasks: it checks that all are done, adds
// up what they counted and writes mean, lists and manifest, with the bytes that
// one process would have written. Merging again only says that it was done.
//
// Tasks that are missing, damaged or of another job are a *[MergeError], which
// names each; nothing is written then. Other errors that concern the request are
// a *[NothingToMergeError], a *[BusyError], a *[ConfigError], or about rejects as
// those of Run.
func Merge(ctx context.Context, cfg MergeConfig) (Summary, error) {
	if cfg.MaxRejects < 0 || cfg.MaxRejects > 1 {
		return Summary{}, &ConfigError{Option: "max-rejects", What: fmt.Sprintf("is %v; it is a share from 0 to 1", cfg.MaxRejects)}
	}
	m := &merger{cfg: cfg, dir: filepath.Join(cfg.Out, stateName)}
	if !unfinishedIn(cfg.Out) {
		s, err := m.before()
		if s == nil && err == nil {
			return Summary{}, &NothingToMergeError{Out: cfg.Out}
		}
		return orZero(s), err
	}
	held, err := lock(filepath.Join(m.dir, lockName), false)
	if errors.Is(err, errLocked) {
		return Summary{}, &BusyError{Out: cfg.Out}
	}
	if err != nil {
		return Summary{}, fmt.Errorf("locking the output folder: %w", err)
	}
	st := &state{out: cfg.Out, dir: m.dir, lock: held}
	s, err := m.before() // another merge, or one that was killed when it had only to remove
	if s == nil && err == nil {
		s, err = m.merge(ctx)
	}
	if err == nil {
		err = removeTemps(cfg.Out)
	}
	if err != nil {
		return Summary{}, errors.Join(err, st.close())
	}
	return *s, st.remove()
}

// orZero is what s points to.
func orZero(s *Summary) Summary {
	if s == nil {
		return Summary{}
	}
	return *s
}

// merger is a merge that is under way.
type merger struct {
	cfg     MergeConfig
	dir     string // the state
	outline outline
	digest  string // of the outline
	tasks   []*taskPart
	faults  []PartError
}

// before returns the summary of records that are there already, nil if there
// are none or there is something left to remove.
func (m *merger) before() (*Summary, error) {
	out := m.cfg.Out
	mf, err := records.ReadManifest(out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var splits []string
	for _, name := range []string{source.Train, source.Val, source.Test} {
		if _, there := mf.Splits[name]; there {
			splits = append(splits, name)
		}
	}
	for _, name := range splits {
		for _, shard := range mf.Splits[name].Shards {
			if err := records.CheckShard(out, mf, name, shard); err != nil {
				return nil, fmt.Errorf("%s is merged already, but a shard is missing or damaged: %w", out, err)
			}
		}
	}
	s := describeManifest(mf, splits, "as it was merged", nil).already()
	return &s, nil
}

// merge does the work in a locked folder.
func (m *merger) merge(ctx context.Context) (*Summary, error) {
	if err := m.readOutline(); err != nil {
		return nil, err
	}
	count, err := m.count()
	if err != nil {
		return nil, err
	}
	e := newEnding(m.cfg.Out, m.outline.Manifest)
	e.keepTruncated = m.outline.KeepTruncated
	shards := make([]*part, len(m.outline.Shards))
	for i := range count {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t := Task{i, count}
		tp, err := m.readTask(t, shards, e.sums)
		if err != nil {
			m.faults = append(m.faults, PartError{File: filepath.Join(m.dir, t.doneName()), Task: t, Err: err})
			continue
		}
		m.tasks = append(m.tasks, tp)
	}
	if len(m.faults) > 0 {
		return nil, &MergeError{Out: m.cfg.Out, Count: count, Parts: m.faults}
	}
	if err := m.baseline(e); err != nil {
		return nil, err
	}
	for i, s := range m.outline.Shards {
		e.add(s.Split, shards[i])
	}
	if err := m.checkRejects(e.rejects); err != nil {
		return nil, err
	}
	if err := e.write(); err != nil {
		return nil, err
	}
	s := describeManifest(e.manifest, m.outline.splits(), m.outline.Baseline, m.outline.Published)
	return &s, nil
}

// readOutline reads what the tasks say of the job, and compares it with the
// request that the folder is for.
func (m *merger) readOutline() error {
	path := filepath.Join(m.dir, outlineName)
	digest, err := readSealed(path, &m.outline)
	if errors.Is(err, fs.ErrNotExist) {
		return &NothingToMergeError{Out: m.cfg.Out}
	}
	o := &m.outline
	if err == nil && (o.Format != outlineFormat || o.Version != outlineVersion || o.Manifest == nil) {
		err = fmt.Errorf("it is %q of version %d, and this program knows %q of version %d", o.Format, o.Version, outlineFormat, outlineVersion)
	}
	if err != nil {
		return fmt.Errorf("%s: %w; run a task of the job again, which writes it anew", path, err)
	}
	request, err := os.ReadFile(filepath.Join(m.cfg.Out, requestName))
	if err != nil {
		return fmt.Errorf("reading what the output is for: %w", err)
	}
	if sha256Of(request) != o.Request {
		return fmt.Errorf("%s: %w than %s; run a task of the job again, which writes it anew", path, ErrForeignPart, requestName)
	}
	m.digest = digest
	return nil
}

// count is how many tasks share the job, as their done-markers say.
func (m *merger) count() (int, error) {
	tasks, err := doneTasks(m.dir)
	if err != nil {
		return 0, err
	}
	if len(tasks) == 0 {
		return 0, fmt.Errorf("%w: %s has no task-*.done: wait for the tasks, or run them with --shard i/n", ErrNoTaskDone, m.dir)
	}
	for _, t := range tasks {
		if t.Count != tasks[0].Count {
			return 0, fmt.Errorf("%s holds %s and %s, of tasks that shared the job differently; remove those of one number, and run what is missing of the other",
				m.dir, tasks[0].doneName(), t.doneName())
		}
	}
	return tasks[0].Count, nil
}

// readTask reads and checks what a task left, puts its shards into their places
// and adds its sums.
func (m *merger) readTask(t Task, shards []*part, sums *stats.Sums) (*taskPart, error) {
	tp := new(taskPart)
	if _, err := readSealed(filepath.Join(m.dir, t.doneName()), tp); err != nil {
		return nil, err
	}
	switch {
	case tp.Outline != m.digest:
		return nil, ErrForeignPart
	case tp.Task != t:
		return nil, fmt.Errorf("it is that of task %v under another name", tp.Task)
	}
	next := 0
	for i := range m.outline.Shards {
		if !t.owns(i) {
			continue
		}
		want := &m.outline.Shards[i]
		if next == len(tp.Shards) || tp.Shards[next].Shard.File != want.Name || tp.Shards[next].Seen != want.Files {
			return nil, fmt.Errorf("it does not list %s with %d files", want.Name, want.Files)
		}
		p := &tp.Shards[next]
		if err := records.CheckShard(m.cfg.Out, m.outline.Manifest, want.Split, p.Shard); err != nil {
			return nil, err
		}
		shards[i] = p
		next++
	}
	if next != len(tp.Shards) {
		return nil, fmt.Errorf("it lists %s, which is not the task's", tp.Shards[next].Shard.File)
	}
	return tp, addSums(sums, tp.Sums)
}

// baseline takes what all tasks subtracted, and makes sure that it was the same.
func (m *merger) baseline(e *ending) error {
	mf := m.outline.Manifest
	e.baseline = make([]uint8, mf.Shape.Size())
	path := filepath.Join(m.dir, baselineName)
	switch {
	case m.outline.Borrowed:
		path = filepath.Join(m.dir, records.MeanName)
		mean, err := records.ReadMean(path)
		if err != nil {
			return fmt.Errorf("%w; run a task of the job again, which writes it anew", err)
		}
		e.lent, e.baseline = mean.Mean, mean.Baseline
	case mf.Pixels == records.Int16:
		sample := (&state{dir: m.dir}).readBaseline(mf.Shape)
		if sample == nil {
			return fmt.Errorf("%s is missing or damaged; run a task of the job again, which writes it anew", path)
		}
		e.baseline = sample.Baseline()
	}
	digest := sha256Of(e.baseline)
	for _, tp := range m.tasks {
		if tp.Baseline != digest {
			m.faults = append(m.faults, PartError{File: filepath.Join(m.dir, tp.Task.doneName()), Task: tp.Task,
				Err: fmt.Errorf("its records are differences from another baseline than that of %s", path)})
		}
	}
	if len(m.faults) > 0 {
		return &MergeError{Out: m.cfg.Out, Count: len(m.tasks), Parts: m.faults}
	}
	return nil
}

// checkRejects returns an error when the tasks together rejected too many files.
func (m *merger) checkRejects(rejects []Reject) error {
	total := m.outline.files("")
	allowed := allowedRejects(m.cfg.MaxRejects, total)
	switch {
	case len(rejects) == 0:
		return nil
	case m.cfg.Strict:
		return &RejectError{Reject: rejects[0]}
	case len(rejects) <= allowed:
		return nil
	}
	reasons := map[string]int{}
	for _, r := range rejects {
		reasons[r.Reason]++
	}
	return &TooManyRejectsError{Rejected: len(rejects), Allowed: allowed, Total: total, Share: m.cfg.MaxRejects, Reasons: reasons, Last: rejects[len(rejects)-1]}
}

// Causes of a PartError, beside fs.ErrNotExist and a damaged shard's own.
var (
	ErrForeignPart = errors.New("it belongs to a job with other options or files")
	ErrDamagedPart = errSeal
)

// ErrNoTaskDone says that there is no part at all.
var ErrNoTaskDone = errors.New("no task is done yet")

// NothingToMergeError says that no task worked on the output.
type NothingToMergeError struct{ Out string }

// Error names the output and says what to do.
func (e *NothingToMergeError) Error() string {
	return e.Out + " holds nothing to merge: run all tasks first, ingest --src … --out " + e.Out + " --shard i/n"
}

// PartError says what is wrong with the part of one task.
type PartError struct {
	File string // the done-marker
	Task Task
	Err  error
}

// Error names the part, the cause and what to do.
func (e *PartError) Error() string {
	cause := e.Err.Error()
	if p, ok := errors.AsType[*fs.PathError](e.Err); ok && errors.Is(p.Err, fs.ErrNotExist) && p.Path == e.File {
		cause = "missing"
	}
	return fmt.Sprintf("%s: %s: run --shard %v again", filepath.Base(e.File), cause, e.Task)
}

// Unwrap returns the cause.
func (e *PartError) Unwrap() error { return e.Err }

// MergeError lists the parts that keep a job from being merged.
type MergeError struct {
	Out   string
	Count int         // tasks of the job
	Parts []PartError // of those that cannot be merged
}

// maxNamed is how many parts the text of a MergeError names.
const maxNamed = 20

// Error names the parts.
func (e *MergeError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s cannot be merged, for %d of %d parts: ", e.Out, len(e.Parts), e.Count)
	for i := range e.Parts[:min(len(e.Parts), maxNamed)] {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(e.Parts[i].Error())
	}
	if more := len(e.Parts) - maxNamed; more > 0 {
		var tasks []string
		for i := range e.Parts[maxNamed:] {
			tasks = append(tasks, fmt.Sprint(e.Parts[maxNamed+i].Task.Index))
		}
		fmt.Fprintf(&b, "; and of tasks %s", strings.Join(tasks, ","))
	}
	return b.String()
}

// Unwrap returns the errors of all parts.
func (e *MergeError) Unwrap() []error {
	errs := make([]error, len(e.Parts))
	for i := range e.Parts {
		errs[i] = &e.Parts[i]
	}
	return errs
}
