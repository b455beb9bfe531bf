package convert

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"alexnet/ingest/decode"
	"alexnet/ingest/source"
	"alexnet/ingest/stats"
	"alexnet/records"
)

// job is a running conversion.
//
// Workers read, decode and scale single pictures. Lanes, fewer, each make one
// shard at a time: they hand the shard's pictures to the workers, a window ahead,
// and take the results back in order. While its next one is not ready, the first
// lane does a worker's work, and makes Config.Jobs of them together: a goroutine
// more than there are processors would have a decoder make way for each row. So
// all are busy however few shards there are, the order in a shard is fixed, and
// memory is bounded by the windows. While a finished shard is flushed to the
// disk, its lane is already at the next one. Where the source is across a
// network, readers in front of the workers do the reading (see ahead).
type job struct {
	cfg   *Config
	plan  *plan
	state *state
	lent  *records.Dataset // where the mean comes from, nil if from this job

	tasks    chan *task
	ready    <-chan *task // the same, or, where files are read ahead, those that are read
	giants   *decode.Budget
	ahead    *ahead // nil where the source is at hand
	lanes    int
	window   int // pictures of a lane that are with the workers or wait to be written
	baseline []uint8

	times struct{ read, decode, resize, write atomic.Int64 } // nanoseconds
	work  atomic.Int64                                       // files written or rejected in this run
	files atomic.Int64                                       // files that workers dealt with, the sample included

	// Squares of the sample, kept where it is the whole training split so that
	// its files need not be decoded twice. A square is removed when it is used.
	squares sync.Map // *source.Item to square

	mu       sync.Mutex // guards what follows
	progress Progress
	reasons  map[string]int
}

// maxLanes bounds how many shards are made at the same time, and so what a kill
// throws away.
const maxLanes = 8

func newJob(cfg *Config, p *plan, s *state, lent *records.Dataset) *job {
	j := &job{cfg: cfg, plan: p, state: s, lent: lent, giants: decode.NewBudget(decodeBytes), reasons: map[string]int{}}
	j.lanes = min(max(cfg.Jobs/4, 1), maxLanes)
	j.window = cfg.Jobs + cfg.Jobs/j.lanes + 2
	reads, _ := cfg.ahead()
	j.window += (reads + j.lanes - 1) / j.lanes
	// A lane never waits to hand a picture over.
	j.tasks = make(chan *task, j.lanes*j.window)
	return j
}

// run does what is left of the job, or of the task of it, and says what that is.
func (j *job) run(ctx context.Context) (Summary, error) {
	var workers sync.WaitGroup
	j.ready = j.tasks
	if j.cfg.Source.Remote() {
		j.ready = j.startAhead()
	}
	for range j.cfg.Jobs - 1 {
		workers.Go(j.worker)
	}
	err := j.makeBaseline(ctx)
	if err == nil && !j.cfg.Prepare {
		err = j.makeShards(ctx)
	}
	close(j.tasks)
	workers.Wait()
	for range j.ready { // ends when the readers have, if there are any; nothing is left in it
	}
	if err != nil {
		return Summary{}, err
	}
	if j.cfg.Prepare {
		return Summary{Classes: len(j.plan.classes), Shards: len(j.plan.shards), Decoder: j.cfg.Decoder(), Filter: j.cfg.Resize.Name(), Baseline: describeBaseline(j.cfg, j.plan)}, nil
	}
	if j.cfg.Task.whole() {
		m, err := j.finish(ctx)
		if err != nil {
			return Summary{}, err
		}
		return summarize(j.cfg, j.plan, m), nil
	}
	tp, err := j.writeTask(ctx)
	if err != nil {
		return Summary{}, err
	}
	return summarizeTask(j.cfg, j.plan, tp), nil
}

// worker does tasks until there are no more.
func (j *job) worker() {
	m := newMaker(j)
	defer m.dec.Close()
	for t := range j.ready {
		m.do(t)
	}
}

// wait waits until a task is done, and with a maker has that do others, or it,
// meanwhile.
func (j *job) wait(m *maker, t *task) {
	if m == nil {
		<-t.done
		return
	}
	for {
		select {
		case <-t.done: // before others: the lane hands more over when it has this
			return
		default:
		}
		select {
		case <-t.done:
			return
		case other := <-j.ready:
			m.do(other)
		}
	}
}

// inOrder has the items done, by the workers and by m unless it is nil, and calls
// each for them, in order. It keeps as many as there are tasks on the way. A task
// is borrowed until each returns.
func (j *job) inOrder(ctx context.Context, m *maker, tasks []*task, items []*source.Item, each func(*task) error) error {
	next := 0
	for at := range items {
		for ; next < len(items) && next-at < len(tasks); next++ {
			t := tasks[next%len(tasks)]
			t.ctx, t.item, t.err, t.damage, t.sha256 = ctx, items[next], nil, nil, ""
			j.tasks <- t
		}
		t := tasks[at%len(tasks)]
		j.wait(m, t)
		if err := each(t); err != nil {
			// A task may be used again only when the worker is done with it.
			for at++; at < next; at++ {
				j.wait(m, tasks[at%len(tasks)])
			}
			return err
		}
	}
	return nil
}

// newTasks makes the tasks of a lane.
func (j *job) newTasks() []*task {
	tasks := make([]*task, j.window)
	for i := range tasks {
		tasks[i] = &task{done: make(chan struct{}, 1), square: square{pixels: make([]uint8, j.cfg.Shape().Size())}}
	}
	return tasks
}

// makeShards makes all shards that are not done yet.
func (j *job) makeShards(ctx context.Context) error {
	todo := make(chan int, len(j.plan.own))
	if err := j.resume(todo); err != nil {
		return err
	}
	close(todo)
	ends, cancel := outlast(ctx, grace)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	for i := range min(j.lanes, len(todo)) {
		g.Go(func() error {
			if i > 0 {
				return j.lane(ctx, ends, nil, todo)
			}
			m := newMaker(j)
			defer m.dec.Close()
			return j.lane(ctx, ends, m, todo)
		})
	}
	return g.Wait()
}

// grace is how long a shard that is ready may still be sent to a store after the
// job was interrupted: schedulers kill half a minute after they ask.
const grace = 20 * time.Second

// outlast returns a context that ends some time after ctx does.
func outlast(ctx context.Context, more time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(more):
			cancel()
		case <-longer.Done():
		}
	})
	return longer, func() {
		stop()
		cancel()
	}
}

// resume accounts for the shards that earlier runs finished, and lists the others.
func (j *job) resume(todo chan<- int) error {
	j.progress = Progress{Phase: PhaseConvert, AllShards: len(j.plan.own)}
	for _, i := range j.plan.own {
		j.progress.Total += len(j.plan.shards[i].items)
	}
	for _, i := range j.plan.own {
		p := j.state.earlier[i]
		if p == nil {
			todo <- i
			continue
		}
		j.progress.Done += p.Seen
		j.progress.Shards++
		for _, r := range p.Rejects {
			if err := j.reject(r); err != nil {
				return err
			}
		}
	}
	j.progress.Earlier = j.progress.Done
	j.report(func(*Progress) {})
	return nil
}

// lane makes one shard after another. The end of a shard, which waits for the
// disk or for the store, is done beside the next one, and not cut short by the
// failure of another lane.
func (j *job) lane(ctx, ends context.Context, m *maker, todo <-chan int) (err error) {
	tasks := j.newTasks()
	ending := make(chan error, 1)
	ending <- nil
	defer func() { err = errors.Join(err, <-ending) }()
	for i := range todo {
		w, p, err := j.makeShard(ctx, m, tasks, &j.plan.shards[i])
		if err != nil {
			return err
		}
		if err := <-ending; err != nil {
			ending <- nil
			return errors.Join(err, w.Abort())
		}
		go func() { ending <- j.endShard(ends, i, w, p) }()
	}
	return nil
}

// makeShard writes all rows of a shard, short of making the file appear.
func (j *job) makeShard(ctx context.Context, m *maker, tasks []*task, plan *shardPlan) (shardWriter, *part, error) {
	opts := records.WriterOptions{Split: plan.split, Shape: j.cfg.Shape(), Pixels: j.cfg.Pixels, Compression: j.cfg.Compression}
	if j.cfg.Pixels == records.Int16 {
		opts.Baseline = j.baseline
	}
	w, err := j.state.out.shard(j.cfg.create, plan.name, opts)
	if err != nil {
		return nil, nil, err
	}
	p := &part{Request: j.state.request, Seen: len(plan.items)}
	var sums *stats.Sums
	if shape := j.cfg.Shape(); plan.sums {
		sums = stats.New(shape.C, shape.H, shape.W)
	}
	err = j.inOrder(ctx, m, tasks, plan.items, func(t *task) error {
		reject, err := t.reject(plan.split)
		if err != nil {
			return err
		}
		if reject != nil {
			p.Rejects = append(p.Rejects, *reject)
			if err := j.reject(*reject); err != nil {
				return err
			}
		} else if err := j.write(w, t, sums); err != nil {
			return err
		}
		if reject == nil && t.damage != nil {
			p.Damaged = append(p.Damaged, *t.line(plan.split, t.damage))
		}
		j.work.Add(1)
		j.report(func(p *Progress) { p.Done++ })
		return nil
	})
	if err == nil && sums != nil {
		p.Sums, err = sums.MarshalBinary()
	}
	if err != nil {
		return nil, nil, errors.Join(err, w.Abort())
	}
	return w, p, nil
}

// write puts a picture into its shard and, unless sums is nil, into the sums.
func (j *job) write(w shardWriter, t *task, sums *stats.Sums) error {
	start := time.Now()
	defer func() { j.times.write.Add(int64(time.Since(start))) }()
	if sums != nil {
		if err := sums.Add(t.pixels); err != nil {
			return err
		}
	}
	return w.Write(records.Record{
		Key: t.item.Key, Label: t.item.Label, ILSVRCID: t.item.ILSVRCID,
		Width: uint16(t.width), Height: uint16(t.height), SourceXXH3: t.xxh3, Pixels: t.pixels,
	})
}

// endShard makes a shard appear and then marks it as done.
func (j *job) endShard(ctx context.Context, i int, w shardWriter, p *part) error {
	start := time.Now()
	defer func() { j.times.write.Add(int64(time.Since(start))) }()
	info, err := w.Commit()
	if err != nil {
		return err
	}
	p.Shard = info
	if err := j.state.finishShard(ctx, i, p); err != nil {
		return err
	}
	j.report(func(p *Progress) { p.Shards++ })
	return nil
}

// allowed is how many rejects the job may have.
func (j *job) allowed() int { return allowedRejects(j.cfg.MaxRejects, j.plan.total) }

// allowedRejects is that share of so many files, or of 100 if there are fewer.
func allowedRejects(share float64, files int) int {
	return int(share*float64(max(files, 100)) + 1e-9)
}

// reject counts a reject, and returns an error if that was one too many.
func (j *job) reject(r Reject) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.progress.Rejected++
	j.reasons[r.Reason]++
	if j.cfg.Strict {
		return &RejectError{Reject: r}
	}
	if n := j.progress.Rejected; n > j.allowed() {
		return &TooManyRejectsError{Rejected: n, Allowed: j.allowed(), Total: j.plan.total, Share: j.cfg.MaxRejects, Reasons: maps.Clone(j.reasons), Last: r}
	}
	return nil
}

// report changes the progress and shows it.
func (j *job) report(change func(*Progress)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(&j.progress)
	if j.cfg.Progress != nil {
		j.cfg.Progress(j.progress)
	}
}
