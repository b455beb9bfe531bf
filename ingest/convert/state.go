package convert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"sync/atomic"

	"alexnet/ingest/source"
	"alexnet/ingest/stats"
	"alexnet/records"
	"alexnet/records/bucket"
	"alexnet/records/filelock"
)

// Names in the output beside the shards, the mean and the manifest.
const (
	stateName    = ".ingest"                          // folder of an unfinished job
	lockName     = "lock"                             // in it
	baselineName = stateName + "/baseline"            // the sums of the sample
	indexName    = stateName + "/index"               // what lies where in the source's archives
	lentName     = stateName + "/" + records.MeanName // the mean picture of other records
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

// state is the memory of a job, beside its output.
type state struct {
	name     string // of the output, for messages
	out      place
	lock     io.Closer // nil where the place has no locks
	task     Task
	plan     *plan
	request  string            // SHA-256 of ingest.json
	outline  string            // and, for a task, of the outline
	manifest *records.Manifest // what every shard has to fit
	earlier  []*part           // of the shards that earlier runs finished, without sums; nil for others
	stale    map[string]bool   // what was in the state at the start, and holds no longer
	fresh    atomic.Int64      // shards that this run finished
}

// openState makes the output ours: it locks it, checks that what is there
// belongs to the same request, and finds the shards that are done. Temporaries
// of killed runs are removed. A task of several shares the output with the
// others, and leaves temporaries alone, as they may be theirs.
func openState(ctx context.Context, cfg *Config, p *plan, out place) (*state, error) {
	request, err := p.request.encode()
	if err != nil {
		return nil, err
	}
	s := &state{
		name: cfg.Out, out: out, task: cfg.Task, plan: p, request: sha256Of(request),
		manifest: cfg.manifest(p), earlier: make([]*part, len(p.shards)), stale: map[string]bool{},
	}
	if !cfg.Restart {
		if err := s.checkOwner(ctx); err != nil {
			return nil, err
		}
	}
	if s.lock, err = out.lock(!cfg.Task.whole()); err != nil {
		if errors.Is(err, filelock.ErrLocked) {
			return nil, &BusyError{Out: cfg.Out}
		}
		return nil, err
	}
	if err := s.prepare(ctx, cfg.Restart, request); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// checkOwner returns an error when the output holds another job's files. It
// changes nothing.
func (s *state) checkOwner(ctx context.Context) error {
	for range ownerLooks {
		before, err := readRequest(ctx, s.out)
		if err != nil {
			return err
		}
		if before != nil {
			if d := before.differences(s.plan.request); len(d) > 0 {
				return &ChangedError{Out: s.name, Differences: d}
			}
			return nil
		}
		ours, err := ownFiles(ctx, s.out)
		if err != nil || len(ours) == 0 {
			return err
		}
		if !slices.Contains(ours, requestName) { // else it is another task's, which came a moment ago
			return &ForeignError{Out: s.name, File: ours[0]}
		}
	}
	return fmt.Errorf("%s is listed in its folder, and is not there to be read, as if it were a link to nothing; remove it, or use another --out", s.out.path(requestName))
}

// ownerLooks is how often a request may come, or come and go, between a look at
// it and one at its folder.
const ownerLooks = 5

// prepare brings the locked output into a state in which the work can go on.
func (s *state) prepare(ctx context.Context, restart bool, request []byte) error {
	if restart {
		if err := s.wipe(ctx); err != nil {
			return fmt.Errorf("throwing away the earlier records: %w", err)
		}
	}
	if s.task.whole() {
		if err := s.out.removeTemps("", stateName); err != nil {
			return err
		}
	} else if err := s.checkCount(ctx); err != nil {
		return err
	}
	// Another process may have come first, or come now.
	if err := s.checkOwner(ctx); err != nil {
		return err
	}
	if err := s.claim(ctx, request); err != nil {
		return err
	}
	return s.takeStock(ctx)
}

// claim writes what the output is for, if that is not there. Of several
// processes that come at the same time only one does; the others compare.
func (s *state) claim(ctx context.Context, request []byte) error {
	if _, err := s.out.read(ctx, requestName); errors.Is(err, fs.ErrNotExist) {
		if err := s.out.create(ctx, requestName, request); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return s.checkOwner(ctx) // it may have come after the last look
}

// takeStock finds the shards of this process that are done: the part is there
// and fits the shard, and the shard has the size, the ends, the schema and the
// rows that it should have, as far as that can be seen at little cost. Its bytes
// are for inspect verify.
func (s *state) takeStock(ctx context.Context) error {
	names, err := s.out.list(ctx, stateName)
	if err != nil {
		return err
	}
	for _, name := range names {
		s.stale[path.Join(stateName, name)] = true
	}
	var there []int
	for _, i := range s.plan.own {
		if s.stale[s.partName(i)] {
			there = append(there, i)
		}
	}
	if len(there) == 0 {
		return nil
	}
	var parts []*part
	err = s.eachPart(ctx, there, func(_ int, p *part, err error) error {
		if _, ok := errors.AsType[*bucket.Error](err); ok && !errors.Is(err, fs.ErrNotExist) {
			return err // that says nothing about the part
		}
		if p != nil {
			p.Sums = nil
		}
		parts = append(parts, p)
		return nil
	})
	if err != nil {
		return err
	}
	// A shard is there before its part is, so it has to be looked at later.
	check, err := s.out.checker(ctx, s.manifest)
	if err != nil {
		return err
	}
	for k, i := range there {
		if p := parts[k]; p != nil && check(s.plan.shards[i].split, p.Shard) == nil {
			s.earlier[i] = p
			delete(s.stale, s.partName(i))
		}
	}
	return nil
}

// mark makes a file of the state that says what is done. In a store it is created
// and nobody changes it from then on: one that was there at the start, and does not
// hold, is replaced; one that has come since is a twin's, or was made by this very
// call when its answer was lost, and has to say the same. In a folder a shard is in
// its place before one can compare, so that its part has to follow.
func (s *state) mark(ctx context.Context, name string, data []byte) error {
	if s.replaces(name) {
		return s.out.write(ctx, name, data)
	}
	err := s.out.create(ctx, name, data)
	if errors.Is(err, fs.ErrExist) {
		return s.agree(ctx, name, data)
	}
	return err
}

// replaces says whether a mark takes the place of one that is there.
func (s *state) replaces(name string) bool { return s.lock != nil || s.stale[name] }

// agree returns an error when a mark is there that says something else, and may
// not be replaced.
func (s *state) agree(ctx context.Context, name string, data []byte) error {
	if s.replaces(name) {
		return nil
	}
	was, err := s.out.read(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !bytes.Equal(was, data):
		return &DiffersError{File: s.out.path(name)}
	}
	return nil
}

// stillOurs returns an error when the output is no longer for this job. Locks
// make that impossible; where there are none, an ingest with --restart may have
// come between.
func (s *state) stillOurs(ctx context.Context) error {
	if s.lock != nil {
		return nil
	}
	return checkClaim(ctx, s.name, s.out, s.request)
}

// checkClaim returns an error when the output is not for the request with this
// digest.
func checkClaim(ctx context.Context, name string, out place, request string) error {
	data, err := out.read(ctx, requestName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &LostError{Out: name}
	case err != nil:
		return err
	case sha256Of(data) != request:
		return &LostError{Out: name}
	}
	return nil
}

// checkShards checks all shards of a manifest.
func checkShards(ctx context.Context, out place, m *records.Manifest) error {
	check, err := out.checker(ctx, m)
	if err != nil {
		return err
	}
	for _, split := range slices.Sorted(maps.Keys(m.Splits)) {
		for _, shard := range m.Splits[split].Shards {
			if err := check(split, shard); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkCount returns an error when tasks of another number of tasks are done
// here: the merge could not tell which to take.
func (s *state) checkCount(ctx context.Context) error {
	tasks, err := doneTasks(ctx, s.out)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if t.Count != s.task.Count {
			return &TaskCountError{Dir: s.out.path(stateName), Done: t, Task: s.task}
		}
	}
	return nil
}

// doneTasks lists the tasks whose done-markers are there.
func doneTasks(ctx context.Context, out place) ([]Task, error) {
	names, err := out.list(ctx, stateName)
	if err != nil {
		return nil, fmt.Errorf("looking for tasks that are done: %w", err)
	}
	var tasks []Task
	for _, name := range names {
		if t, ok := taskOfName(name); ok {
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

// describe writes what the tasks that follow need to know of the source, and,
// for a task, what the merge has to know of the job. All write the same, so it
// does not matter who is first.
func (s *state) describe(ctx context.Context, cfg *Config, lent *records.Dataset) error {
	if cfg.alone() {
		return nil
	}
	if index := source.TakeIndex(cfg.Source); index != nil {
		if err := s.out.write(ctx, indexName, index); err != nil {
			return err
		}
	}
	if cfg.Prepare {
		return nil
	}
	if lent != nil {
		mean := &records.Mean{Shape: cfg.Shape(), Mean: lent.Mean.Mean, Baseline: make([]uint8, cfg.Shape().Size())}
		if cfg.Pixels == records.Int16 {
			mean.Baseline = lentBaseline(lent)
		}
		data, _, err := records.EncodeMean(mean)
		if err != nil {
			return err
		}
		if err := s.out.write(ctx, lentName, data); err != nil {
			return err
		}
	}
	data, err := sealed(newOutline(cfg, s.plan, s.request, lent))
	if err != nil {
		return err
	}
	s.outline = sha256Of(data)
	return s.out.write(ctx, outlineName, data)
}

var shardNameTable = regexp.MustCompile(`^[a-z]+-[0-9]{5,}-of-[0-9]{5,}\.arrow$`)

// ownFiles lists the files that a job makes, and that a restart removes.
func ownFiles(ctx context.Context, out place) ([]string, error) {
	names, err := out.list(ctx, "")
	if err != nil {
		return nil, err
	}
	var own []string
	for _, name := range names {
		switch {
		case name == records.ManifestName, name == records.MeanName, name == rejectsName, name == damagedName, name == requestName,
			shardNameTable.MatchString(name):
			own = append(own, name)
		}
	}
	return own, nil
}

// wipe removes everything that a job made. The manifest goes first, and what is
// known of the job before what says whose it is.
func (s *state) wipe(ctx context.Context) error {
	if err := s.out.remove(ctx, records.ManifestName); err != nil {
		return err
	}
	if err := s.empty(ctx); err != nil {
		return err
	}
	if err := s.out.remove(ctx, requestName); err != nil {
		return err
	}
	own, err := ownFiles(ctx, s.out)
	if err != nil {
		return err
	}
	return s.out.remove(ctx, own...)
}

// readRequest returns what the output was made for, nil if it does not say.
func readRequest(ctx context.Context, out place) (*request, error) {
	file := out.path(requestName)
	data, err := out.read(ctx, requestName)
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
		return nil, fmt.Errorf("%s does not say what the output was made for: %w; use another --out, or --restart to begin anew", file, err)
	}
	if r.Version != requestVersion {
		return nil, fmt.Errorf("%s is of version %d and this program knows version %d; use another --out, or --restart to begin anew", file, r.Version, requestVersion)
	}
	return &r, nil
}

// partName is where the part of shard i is.
func (s *state) partName(i int) string { return path.Join(stateName, s.plan.shards[i].name+".part") }

// eachPart calls use for the parts of shards, in their order, or with what is
// wrong with one.
func (s *state) eachPart(ctx context.Context, shards []int, use func(i int, p *part, err error) error) error {
	return inTurn(ctx, len(shards), func(k int) (*part, error) { return s.readPart(ctx, shards[k]) },
		func(k int, p *part, err error) error { return use(shards[k], p, err) })
}

// readPart reads and checks the part of shard i.
func (s *state) readPart(ctx context.Context, i int) (*part, error) {
	shard, name := &s.plan.shards[i], s.partName(i)
	data, err := s.out.read(ctx, name)
	if err != nil {
		return nil, err
	}
	p := new(part)
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("%s: %w", s.out.path(name), err)
	}
	if p.Request != s.request || p.Shard.File != shard.name || p.Seen != len(shard.items) || p.Seen != p.Shard.Rows+len(p.Rejects) || (p.Sums != nil) != shard.sums {
		return nil, fmt.Errorf("%s: not the part of %s with %d files", s.out.path(name), shard.name, len(shard.items))
	}
	return p, nil
}

// finishShard puts a shard that was committed into its place and marks it as
// done. Where a twin was faster, and its shard is another, that stays.
func (s *state) finishShard(ctx context.Context, i int, p *part) error {
	var data bytes.Buffer
	if err := writeJSON(&data, p); err != nil {
		return err
	}
	if err := errors.Join(s.stillOurs(ctx), s.agree(ctx, s.partName(i), data.Bytes())); err != nil {
		return err
	}
	if err := s.out.publish(ctx, p.Shard.File); err != nil {
		return err
	}
	err := s.mark(ctx, s.partName(i), data.Bytes())
	if _, ok := errors.AsType[*DiffersError](err); ok {
		// Both were sent at once, and nobody knows which is there: it is made again.
		return errors.Join(err, s.out.remove(ctx, s.partName(i)))
	}
	if err != nil {
		return err
	}
	s.fresh.Add(1)
	return nil
}

// readBaseline returns the sums of the sample, nil if they are not there.
func readBaseline(ctx context.Context, out place, shape records.Shape) (*stats.Sums, error) {
	data, err := out.read(ctx, baselineName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sums := stats.New(shape.C, shape.H, shape.W)
	if empty := stats.New(shape.C, shape.H, shape.W); sums.UnmarshalBinary(data) != nil || sums.Merge(empty) != nil {
		return nil, nil //nolint:nilerr // damaged is as good as none: it is made anew
	}
	return sums, nil
}

// writeBaseline keeps the sums of the sample.
func (s *state) writeBaseline(ctx context.Context, sums *stats.Sums) error {
	data, err := sums.MarshalBinary()
	if err != nil {
		return err
	}
	return s.out.write(ctx, baselineName, data)
}

// done returns how many shards are finished.
func (s *state) done() int {
	n := int(s.fresh.Load())
	for _, p := range s.earlier { // of others nothing is known
		if p != nil {
			n++
		}
	}
	return n
}

// close gives up the lock and leaves everything for a later run.
func (s *state) close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// remove ends a job that is done. The lock goes last and is held until then, so that
// nobody who has taken it loses it and the state; the folder goes after it, because
// NFS keeps what is open there.
func (s *state) remove(ctx context.Context) error {
	err := errors.Join(s.empty(ctx), s.out.removeLock(), s.close(), s.out.forget())
	if err != nil {
		return fmt.Errorf("removing what is no longer needed: %w", err)
	}
	return nil
}

// empty removes everything in the state but the lock.
func (s *state) empty(ctx context.Context) error {
	names, err := s.out.list(ctx, stateName)
	if err != nil {
		return err
	}
	var all []string
	for _, name := range names {
		if name != lockName {
			all = append(all, path.Join(stateName, name))
		}
	}
	return s.out.remove(ctx, all...)
}

// writeJSON writes v as indented JSON.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(v)
}
