package convert

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"

	"alexnet/ingest/stats"
	"alexnet/records"
)

// Task says which part of a job a process does, when several share one: task
// Index of Count, counted from 0. The zero Task is the whole job.
type Task struct {
	Index int `json:"index"`
	Count int `json:"count"`
}

// maxTasks bounds the number of tasks by what their names have room for.
const maxTasks = 99999

// String gives "3/7", as --shard takes it.
func (t Task) String() string { return fmt.Sprintf("%d/%d", t.Index, t.Count) }

// whole says that the job is not shared.
func (t Task) whole() bool { return t == Task{} }

// check says what is wrong with a task, or returns nil.
func (t Task) check() error {
	switch {
	case t.whole():
		return nil
	case t.Count < 1 || t.Count > maxTasks:
		return &ConfigError{Option: "shard", What: fmt.Sprintf("is %v; there must be 1 to %d tasks", t, maxTasks)}
	case t.Index < 0 || t.Index >= t.Count:
		return &ConfigError{Option: "shard", What: fmt.Sprintf("is %v; the tasks are counted from 0, so the last is %d/%d", t, t.Count-1, t.Count)}
	}
	return nil
}

// owns says whether shard i of the plan is the task's. The shards go round, so
// that every task has as many, or one more, of every split.
func (t Task) owns(i int) bool { return t.whole() || i%t.Count == t.Index }

// doneName is the name of the task's done-marker.
func (t Task) doneName() string { return stateName + "/" + t.doneFile() }

// doneFile is the last element of that.
func (t Task) doneFile() string { return fmt.Sprintf("task-%05d-of-%05d.done", t.Index, t.Count) }

var doneNameTable = regexp.MustCompile(`^task-([0-9]{5})-of-([0-9]{5})\.done$`)

// taskOfName is the task whose done-marker has this last element; ok says whether it is one.
func taskOfName(name string) (t Task, ok bool) {
	m := doneNameTable.FindStringSubmatch(name)
	if m == nil {
		return Task{}, false
	}
	t.Index, _ = strconv.Atoi(m[1]) // five digits
	t.Count, _ = strconv.Atoi(m[2])
	return t, t.Count > 0 && t.check() == nil
}

// taskPart is what a task leaves for the merge, and by being there says that
// the task is done: the parts of its shards, with their sums added up.
type taskPart struct {
	Task     Task   `json:"task"`
	Outline  string `json:"outline"`  // SHA-256 of the outline that it was made for
	Baseline string `json:"baseline"` // SHA-256 of the baseline that it used
	Shards   []part `json:"shards"`   // in the order of the plan, without sums
	Sums     []byte `json:"sums"`     // an encoded stats.Sums, of all of them
}

// writeTask writes the task's part, as the last thing that a task does.
func (j *job) writeTask(ctx context.Context) (*taskPart, error) {
	shape, st := j.cfg.Shape(), j.state
	sums := stats.New(shape.C, shape.H, shape.W)
	tp := &taskPart{Task: j.cfg.Task, Outline: st.outline, Baseline: sha256Of(j.baseline), Shards: []part{}}
	err := st.eachPart(ctx, j.plan.own, func(i int, p *part, err error) error {
		if err != nil {
			return fmt.Errorf("ending the task: %w", err)
		}
		if err := addSums(sums, p.Sums); err != nil {
			return fmt.Errorf("%s: %w", st.out.path(st.partName(i)), err)
		}
		p.Sums = nil
		tp.Shards = append(tp.Shards, *p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if tp.Sums, err = sums.MarshalBinary(); err != nil {
		return nil, err
	}
	data, err := sealed(tp)
	if err != nil {
		return nil, err
	}
	if err := st.stillOurs(ctx); err != nil {
		return nil, err
	}
	return tp, st.markTask(ctx, data)
}

// markTask writes the done-marker. One of an earlier run holds if it is whole, of
// this job, and no shard had to be made again.
func (s *state) markTask(ctx context.Context, data []byte) error {
	name := s.task.doneName()
	if s.stale[name] && s.fresh.Load() == 0 {
		was, err := s.out.read(ctx, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var before taskPart
		if _, err := unseal(was, &before); err == nil && before.Outline == s.outline && before.Task == s.task {
			delete(s.stale, name)
		}
	}
	return s.mark(ctx, name, data)
}

// addSums adds encoded sums, if there are any.
func addSums(to *stats.Sums, encoded []byte) error {
	if encoded == nil {
		return nil
	}
	var more stats.Sums
	if err := more.UnmarshalBinary(encoded); err != nil {
		return err
	}
	return to.Merge(&more)
}

// TaskSummary is what a task of several has done.
type TaskSummary struct {
	Task      Task
	Shards    int // output shards that are the task's
	AllShards int // output shards of all tasks
}

// summarizeTask describes what the task's shards hold.
func summarizeTask(cfg *Config, p *plan, tp *taskPart) Summary {
	s := Summary{
		Classes: len(p.classes), Decoder: cfg.Decoder(), Filter: cfg.Resize.Name(), Baseline: describeBaseline(cfg, p),
		Task: &TaskSummary{Task: cfg.Task, Shards: len(p.own), AllShards: len(p.shards)},
	}
	bySplit := map[string]*SplitSummary{}
	for i := range p.splits {
		s.Splits = append(s.Splits, SplitSummary{Name: p.splits[i].Name})
	}
	for i := range s.Splits {
		bySplit[s.Splits[i].Name] = &s.Splits[i]
	}
	for k, i := range p.own {
		bySplit[p.shards[i].split].add(&tp.Shards[k])
		s.Bytes += tp.Shards[k].Shard.Bytes
	}
	return s
}

// add counts the files of a shard.
func (c *SplitSummary) add(p *part) {
	c.Seen += p.Seen
	c.Written += p.Shard.Rows
	c.Rejected += len(p.Rejects)
	c.Damaged += len(p.Damaged)
	c.Shards++
	c.Bytes += p.Shard.Bytes
}

// outline is what the merge has to know of a job, so that it needs neither the
// source nor the options. All tasks of a job make the same.
type outline struct {
	Format        string            `json:"format"`
	Version       int               `json:"version"`
	Request       string            `json:"request"`  // SHA-256 of ingest.json
	Manifest      *records.Manifest `json:"manifest"` // without mean and shards
	Shards        []outlineShard    `json:"shards"`
	KeepTruncated bool              `json:"keep_truncated"`
	Borrowed      bool              `json:"borrowed"` // the mean is in the state's mean.arrow
	Baseline      string            `json:"baseline"` // in words
	Published     map[string]int    `json:"published,omitempty"`
}

// outlineShard is one shard of the plan.
type outlineShard struct {
	Name  string `json:"name"`
	Split string `json:"split"`
	Files int    `json:"files"`
	Sums  bool   `json:"sums,omitempty"`
}

const (
	outlineName    = stateName + "/outline.json"
	outlineFormat  = "alexnet-ingest-outline"
	outlineVersion = 1
)

// newOutline describes a job. lent is where its mean comes from, nil if from itself.
func newOutline(cfg *Config, p *plan, request string, lent *records.Dataset) *outline {
	o := &outline{
		Format: outlineFormat, Version: outlineVersion, Request: request, Manifest: cfg.manifest(p),
		KeepTruncated: cfg.KeepTruncated, Borrowed: lent != nil, Baseline: describeBaseline(cfg, p), Published: cfg.published(),
	}
	if lent != nil {
		o.Manifest.PCA = lent.Manifest.PCA
		o.Baseline = "that of the records that lent their mean picture"
	}
	for i := range p.shards {
		s := &p.shards[i]
		o.Shards = append(o.Shards, outlineShard{Name: s.name, Split: s.split, Files: len(s.items), Sums: s.sums})
	}
	return o
}

// files counts the files of all splits, or of one.
func (o *outline) files(split string) int {
	n := 0
	for _, s := range o.Shards {
		if split == "" || s.Split == split {
			n += s.Files
		}
	}
	return n
}

// splits are the names of the splits, in the order of the source.
func (o *outline) splits() []string {
	var all []string
	for _, s := range o.Shards {
		if len(all) == 0 || all[len(all)-1] != s.Split {
			all = append(all, s.Split)
		}
	}
	return all
}
