package convert

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"alexnet/ingest/source"
	"alexnet/ingest/stats"
	"alexnet/records"
	"alexnet/records/bucket"
	"alexnet/records/filelock"
)

// MergeConfig says what to merge.
type MergeConfig struct {
	// Out is the folder that the tasks wrote to; Folder, if not nil, that of an
	// object store, as in Config.
	Out    string
	Folder bucket.Folder
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
func Merge(ctx context.Context, cfg MergeConfig) (s Summary, err error) {
	if cfg.MaxRejects < 0 || cfg.MaxRejects > 1 {
		return Summary{}, &ConfigError{Option: "max-rejects", What: fmt.Sprintf("is %v; it is a share from 0 to 1", cfg.MaxRejects)}
	}
	if cfg.Folder != nil && cfg.Out == "" {
		cfg.Out = cfg.Folder.Name()
	}
	m := &merger{cfg: cfg, out: newPlace(cfg.Out, cfg.Folder, "")}
	begun, err := m.out.begun(ctx)
	if err != nil {
		return Summary{}, err
	}
	if !begun {
		s, err := m.before(ctx)
		if s == nil && err == nil {
			return Summary{}, &NothingToMergeError{Out: cfg.Out}
		}
		return orZero(s), err
	}
	held, err := m.out.lock(false)
	if errors.Is(err, filelock.ErrLocked) {
		return Summary{}, &BusyError{Out: cfg.Out}
	}
	if err != nil {
		return Summary{}, err
	}
	st := &state{out: m.out, lock: held}
	done, err := m.end(ctx, held != nil)
	if err == nil {
		err = m.out.removeTemps("")
	}
	if err != nil {
		return Summary{}, errors.Join(err, st.close())
	}
	return *done, st.remove(ctx)
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
	out     place
	outline outline
	digest  string // of the outline
	tasks   []*taskPart
	faults  []PartError
}

// end merges, unless another merge was faster, or one was killed when it had
// only to remove.
func (m *merger) end(ctx context.Context, locked bool) (*Summary, error) {
	if s, err := m.before(ctx); s != nil || err != nil {
		return s, err
	}
	s, err := m.merge(ctx, locked)
	if err != nil && !locked { // it may come from what another merge has removed
		if s, err := m.before(ctx); s != nil && err == nil {
			return s, nil
		}
	}
	return s, err
}

// before returns the summary of records that are there already, nil if there
// are none.
func (m *merger) before(ctx context.Context) (*Summary, error) {
	data, err := m.out.read(ctx, records.ManifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	mf, err := records.DecodeManifest(m.out.path(records.ManifestName), data)
	if err != nil {
		return nil, err
	}
	if err := checkShards(ctx, m.out, mf); err != nil {
		return nil, fmt.Errorf("%s is merged already, but a shard is missing or damaged: %w", m.cfg.Out, err)
	}
	var splits []string
	for _, name := range []string{source.Train, source.Val, source.Test} {
		if _, there := mf.Splits[name]; there {
			splits = append(splits, name)
		}
	}
	s := describeManifest(mf, splits, "as it was merged", nil).already()
	return &s, nil
}

// merge does the work, in a folder that is locked where there are locks.
func (m *merger) merge(ctx context.Context, locked bool) (*Summary, error) {
	if err := m.readOutline(ctx); err != nil {
		return nil, err
	}
	count, err := m.count(ctx)
	if err != nil {
		return nil, err
	}
	e := newEnding(m.out, m.outline.Manifest)
	e.keepTruncated = m.outline.KeepTruncated
	shards, err := m.readTasks(ctx, count, e.sums)
	if err != nil {
		return nil, err
	}
	if len(m.faults) > 0 {
		return nil, &MergeError{Out: m.cfg.Out, Count: count, Parts: m.faults}
	}
	if err := m.baseline(ctx, e); err != nil {
		return nil, err
	}
	for i, s := range m.outline.Shards {
		e.add(s.Split, shards[i])
	}
	if err := m.checkRejects(e.rejects); err != nil {
		return nil, err
	}
	if !locked {
		e.guard(m.cfg.Out, m.outline.Request)
	}
	if err := e.write(ctx); err != nil {
		return nil, err
	}
	s := describeManifest(e.manifest, m.outline.splits(), m.outline.Baseline, m.outline.Published)
	return &s, nil
}

// readOutline reads what the tasks say of the job, and compares it with the
// request that the folder is for.
func (m *merger) readOutline(ctx context.Context) error {
	path := m.out.path(outlineName)
	data, err := m.out.read(ctx, outlineName)
	if errors.Is(err, fs.ErrNotExist) {
		return &NothingToMergeError{Out: m.cfg.Out}
	}
	if err != nil {
		return fmt.Errorf("reading what the tasks say of the job: %w", err)
	}
	o := &m.outline
	digest, err := unseal(data, o)
	if err == nil && (o.Format != outlineFormat || o.Version != outlineVersion || o.Manifest == nil) {
		err = fmt.Errorf("it is %q of version %d, and this program knows %q of version %d", o.Format, o.Version, outlineFormat, outlineVersion)
	}
	if err != nil {
		return fmt.Errorf("%s: %w; run a task of the job again, which writes it anew", path, err)
	}
	request, err := m.out.read(ctx, requestName)
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
func (m *merger) count(ctx context.Context) (int, error) {
	tasks, err := doneTasks(ctx, m.out)
	if err != nil {
		return 0, err
	}
	if len(tasks) == 0 {
		return 0, fmt.Errorf("%w: %s has no task-*.done: wait for the tasks, or run them with --shard i/n", ErrNoTaskDone, m.out.path(stateName))
	}
	for _, t := range tasks {
		if t.Count != tasks[0].Count {
			return 0, fmt.Errorf("%s holds %s and %s, of tasks that shared the job differently; remove those of one number, and run what is missing of the other",
				m.out.path(stateName), tasks[0].doneFile(), t.doneFile())
		}
	}
	return tasks[0].Count, nil
}

// readTasks reads and checks what the tasks left. It returns the parts of all
// shards, adds up the sums and notes the faults.
func (m *merger) readTasks(ctx context.Context, count int, sums *stats.Sums) ([]*part, error) {
	check, err := m.out.checker(ctx, m.outline.Manifest)
	if err != nil {
		return nil, err
	}
	shards := make([]*part, len(m.outline.Shards))
	read := func(i int) ([]byte, error) { return m.out.read(ctx, Task{i, count}.doneName()) }
	return shards, inTurn(ctx, count, read, func(i int, data []byte, err error) error {
		t := Task{i, count}
		missing := err != nil
		if _, ok := errors.AsType[*bucket.Error](err); ok && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var tp *taskPart
		if err == nil {
			tp, err = m.takeTask(t, data, shards, sums, check)
		}
		if err != nil {
			m.faults = append(m.faults, PartError{File: m.out.path(t.doneName()), Task: t, Err: err, missing: missing && errors.Is(err, fs.ErrNotExist)})
			return nil
		}
		m.tasks = append(m.tasks, tp)
		return nil
	})
}

// takeTask checks what a task left, puts its shards into their places and adds
// its sums.
func (m *merger) takeTask(t Task, data []byte, shards []*part, sums *stats.Sums, check func(string, records.ShardInfo) error) (*taskPart, error) {
	tp := new(taskPart)
	if _, err := unseal(data, tp); err != nil {
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
		if err := check(want.Split, p.Shard); err != nil {
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
func (m *merger) baseline(ctx context.Context, e *ending) error {
	mf := m.outline.Manifest
	e.baseline = make([]uint8, mf.Shape.Size())
	path := m.out.path(baselineName)
	switch {
	case m.outline.Borrowed:
		path = m.out.path(lentName)
		data, err := m.out.read(ctx, lentName)
		if err != nil {
			return fmt.Errorf("reading the mean picture: %w; run a task of the job again, which writes it anew", err)
		}
		mean, err := records.DecodeMean(path, data)
		if err != nil {
			return fmt.Errorf("%w; run a task of the job again, which writes it anew", err)
		}
		e.lent, e.baseline = mean.Mean, mean.Baseline
	case mf.Pixels == records.Int16:
		sample, err := readBaseline(ctx, m.out, mf.Shape)
		if err != nil {
			return err
		}
		if sample == nil {
			return fmt.Errorf("%s is missing or damaged; run a task of the job again, which writes it anew", path)
		}
		e.baseline = sample.Baseline()
	}
	digest := sha256Of(e.baseline)
	for _, tp := range m.tasks {
		if tp.Baseline != digest {
			m.faults = append(m.faults, PartError{File: m.out.path(tp.Task.doneName()), Task: tp.Task,
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

	missing bool // it is not there
}

// Error names the part, the cause and what to do.
func (e *PartError) Error() string {
	cause := e.Err.Error()
	if e.missing {
		cause = "missing"
	}
	return fmt.Sprintf("%s: %s: run --shard %v again", e.Task.doneFile(), cause, e.Task)
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
