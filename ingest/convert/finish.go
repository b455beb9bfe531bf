package convert

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"alexnet/ingest/source"
	"alexnet/ingest/stats"
	"alexnet/records"
)

// finish puts the parts of all shards together. It reads them all from the
// state, whether this run wrote them or an earlier one.
func (j *job) finish(ctx context.Context) (*records.Manifest, error) {
	j.report(func(p *Progress) { p.Phase = PhaseFinish })
	e := newEnding(j.state.out, j.state.manifest)
	e.keepTruncated, e.baseline = j.cfg.KeepTruncated, j.baseline
	if j.lent != nil {
		e.lent, e.manifest.PCA = j.lent.Mean.Mean, j.lent.Manifest.PCA
	}
	err := j.state.eachPart(ctx, allShards(j.plan), func(i int, p *part, err error) error {
		if err != nil {
			return fmt.Errorf("putting the shards together: %w", err)
		}
		if err := addSums(e.sums, p.Sums); err != nil {
			return fmt.Errorf("%s: %w", j.state.out.path(j.state.partName(i)), err)
		}
		e.add(j.plan.shards[i].split, p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if j.state.lock == nil {
		e.guard(j.state.name, j.state.request)
	}
	return e.manifest, e.write(ctx)
}

// allShards numbers the shards of a plan.
func allShards(p *plan) []int {
	all := make([]int, len(p.shards))
	for i := range all {
		all[i] = i
	}
	return all
}

// ending is the last step of a job: from the parts of all shards, which may have
// been made by one process or by many, to mean, lists and manifest.
type ending struct {
	out           place
	manifest      *records.Manifest
	keepTruncated bool
	baseline      []uint8
	sums          *stats.Sums // of all training pictures
	lent          []float32   // the mean picture of other records, nil to compute it; then the manifest has their PCA
	claim         string      // where there are no locks: the SHA-256 of the ingest.json that has to be there still
	name          string      // of the output, for the message that it is not

	rejects, damaged []Reject
}

// newEnding begins with a manifest that lists no shards yet.
func newEnding(out place, m *records.Manifest) *ending {
	return &ending{out: out, manifest: m, sums: stats.New(m.Shape.C, m.Shape.H, m.Shape.W)}
}

// guard has each file written only while the output, which has this name in
// messages, is for the request with this digest: as far as one can go without
// locks.
func (e *ending) guard(name, request string) { e.name, e.claim = name, request }

// put writes one of the files.
func (e *ending) put(ctx context.Context, name string, data []byte) error {
	if e.claim != "" {
		if err := checkClaim(ctx, e.name, e.out, e.claim); err != nil {
			return err
		}
	}
	return e.out.write(ctx, name, data)
}

// add takes the next shard of a split, but for its sums.
func (e *ending) add(split string, p *part) {
	e.rejects, e.damaged = append(e.rejects, p.Rejects...), append(e.damaged, p.Damaged...)
	s := e.manifest.Splits[split]
	s.Seen += p.Seen
	s.Written += p.Shard.Rows
	s.Rejected += len(p.Rejects)
	s.Damaged += len(p.Damaged)
	s.Shards = append(s.Shards, p.Shard)
	e.manifest.Splits[split] = s
}

// write writes the files, the manifest last.
func (e *ending) write(ctx context.Context) error {
	if err := e.writeMean(ctx); err != nil {
		return err
	}
	if err := e.writeRejects(ctx, rejectsName, e.rejects); err != nil {
		return err
	}
	if e.keepTruncated {
		if err := e.writeRejects(ctx, damagedName, e.damaged); err != nil {
			return err
		}
	}
	data, err := records.EncodeManifest(e.manifest)
	if err != nil {
		return err
	}
	if e.claim != "" { // that no shard was removed is worth a look, too
		if err := checkShards(ctx, e.out, e.manifest); err != nil {
			return err
		}
	}
	return e.put(ctx, records.ManifestName, data)
}

// writeMean writes the mean picture and fills in what the manifest says of it.
func (e *ending) writeMean(ctx context.Context) error {
	m := e.manifest
	mean := &records.Mean{Shape: m.Shape, Mean: e.lent, Baseline: e.baseline}
	if e.lent == nil {
		if e.sums.N() == 0 {
			train := func(r Reject) bool { return r.Split == source.Train }
			return noPictureError(m.Splits[source.Train].Seen, &e.rejects[slices.IndexFunc(e.rejects, train)])
		}
		mean.Mean = e.sums.Mean()
	}
	if e.lent == nil && m.Shape.C == 3 {
		p, err := e.sums.PCA()
		if err != nil {
			return err
		}
		m.PCA = &records.PCA{MeanRGB: p.MeanRGB, Covariance: p.Covariance, Eigenvalues: p.Values, Eigenvectors: p.Vectors, Pixels: p.Pixels}
	}
	data, info, err := records.EncodeMean(mean)
	if err != nil {
		return err
	}
	m.Mean = info
	return e.put(ctx, records.MeanName, data)
}

// writeRejects writes a list of files, sorted by split and key; it may be empty.
func (e *ending) writeRejects(ctx context.Context, name string, rejects []Reject) error {
	slices.SortFunc(rejects, func(a, b Reject) int {
		return cmp.Or(cmp.Compare(a.Split, b.Split), cmp.Compare(a.Key, b.Key))
	})
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	encoder.SetEscapeHTML(false)
	for _, r := range rejects {
		if err := encoder.Encode(r); err != nil {
			return err
		}
	}
	return e.put(ctx, name, lines.Bytes())
}

// SplitSummary counts the files of a split: Seen = Written + Rejected.
type SplitSummary struct {
	Name     string `json:"split"`
	Seen     int    `json:"seen"`
	Written  int    `json:"written"`
	Rejected int    `json:"rejected"`
	Damaged  int    `json:"damaged,omitempty"` // among Written: a part of the file was missing
	Shards   int    `json:"shards"`
	Bytes    int64  `json:"bytes"` // of the shards
	// Published is how many files the split has as it was published, where the
	// source is a known set, else 0.
	Published int `json:"published,omitempty"`
}

// Summary is what a job has done.
type Summary struct {
	AlreadyDone bool           // the records were there before
	Task        *TaskSummary   // of a task of several, whose Splits are only its own; nil for the whole job
	Splits      []SplitSummary // in the order train, val, test
	Classes     int
	Shards      int   // of a job that was only prepared: how many there will be
	Bytes       int64 // of all shards

	Decoder  string // library that decoded
	Filter   string // filter that scaled
	Baseline string // what was subtracted before storing, in words
	Digest   string // of the data set

	HasPCA  bool
	MeanRGB [3]float64 // mean red, green, blue of the training pixels, 0..255
	StdDev  [3]float64 // along the colours' principal components: square roots of the eigenvalues

	// Of this run only: files written or rejected, wall time, files decoded
	// (those of the sample may be among them twice), and the wall time that all
	// goroutines together spent on them.
	Files   int
	Elapsed time.Duration
	Decoded int
	Read    time.Duration
	Decode  time.Duration
	Resize  time.Duration
	Write   time.Duration // sums, checksums, compression, files
}

func (s Summary) already() Summary {
	s.AlreadyDone = true
	return s
}

// summarize describes the data set of a manifest.
func summarize(cfg *Config, p *plan, m *records.Manifest) Summary {
	var names []string
	for _, s := range p.splits {
		names = append(names, s.Name)
	}
	return describeManifest(m, names, describeBaseline(cfg, p), cfg.published())
}

// describeManifest describes a data set whose splits have these names.
func describeManifest(m *records.Manifest, splits []string, baseline string, published map[string]int) Summary {
	s := Summary{Classes: len(m.Classes), Decoder: m.Decoder, Filter: m.Filter, Digest: m.Digest, Baseline: baseline}
	for _, name := range splits {
		info := m.Splits[name]
		c := SplitSummary{Name: name, Seen: info.Seen, Written: info.Written, Rejected: info.Rejected, Damaged: info.Damaged, Shards: len(info.Shards), Published: published[name]}
		for _, shard := range info.Shards {
			c.Bytes += shard.Bytes
		}
		s.Bytes += c.Bytes
		s.Splits = append(s.Splits, c)
	}
	if m.PCA != nil {
		s.HasPCA, s.MeanRGB = true, m.PCA.MeanRGB
		for i, v := range m.PCA.Eigenvalues {
			s.StdDev[i] = math.Sqrt(v)
		}
	}
	return s
}

// describeBaseline says in words what the stored pixels are differences from.
func describeBaseline(cfg *Config, p *plan) string {
	if cfg.Pixels != records.Int16 {
		return "none, raw pixels are stored"
	}
	if cfg.MeanFrom != "" {
		return "that of " + cfg.MeanFrom
	}
	if n := len(p.split(source.Train).Items); n > cfg.BaselineSample {
		return fmt.Sprintf("mean of a seeded sample of %d training pictures", cfg.BaselineSample)
	}
	return "mean of all training pictures"
}

// addTimes fills in what concerns this run.
func (j *job) addTimes(s *Summary) {
	s.Files = int(j.work.Load())
	s.Decoded = int(j.files.Load())
	s.Read = time.Duration(j.times.read.Load())
	s.Decode = time.Duration(j.times.decode.Load())
	s.Resize = time.Duration(j.times.resize.Load())
	s.Write = time.Duration(j.times.write.Load())
}
