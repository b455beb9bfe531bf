package convert

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"time"

	"alexnet/ingest/source"
	"alexnet/ingest/stats"
	"alexnet/records"
	"alexnet/records/atomicfile"
)

// finish puts the parts of all shards together. It reads them all from the
// state, whether this run wrote them or an earlier one.
func (j *job) finish() (*records.Manifest, error) {
	j.report(func(p *Progress) { p.Phase = PhaseFinish })
	m, shape := j.state.manifest, j.cfg.Shape()
	sums := stats.New(shape.C, shape.H, shape.W)
	var rejects, damaged []Reject
	for i := range j.plan.shards {
		p, err := j.state.readPart(i)
		if err != nil {
			return nil, fmt.Errorf("putting the shards together: %w", err)
		}
		if p.Sums != nil {
			var more stats.Sums
			if err := more.UnmarshalBinary(p.Sums); err != nil {
				return nil, fmt.Errorf("%s: %w", j.state.partPath(i), err)
			}
			if err := sums.Merge(&more); err != nil {
				return nil, fmt.Errorf("%s: %w", j.state.partPath(i), err)
			}
		}
		rejects, damaged = append(rejects, p.Rejects...), append(damaged, p.Damaged...)
		s := m.Splits[j.plan.shards[i].split]
		s.Seen += p.Seen
		s.Written += p.Shard.Rows
		s.Rejected += len(p.Rejects)
		s.Damaged += len(p.Damaged)
		s.Shards = append(s.Shards, p.Shard)
		m.Splits[j.plan.shards[i].split] = s
	}
	if err := j.writeMean(m, sums, rejects); err != nil {
		return nil, err
	}
	if err := j.writeRejects(rejectsName, rejects); err != nil {
		return nil, err
	}
	if j.cfg.KeepTruncated {
		if err := j.writeRejects(damagedName, damaged); err != nil {
			return nil, err
		}
	}
	return m, records.WriteManifest(j.cfg.Out, m)
}

// writeMean writes the mean picture and fills in what the manifest says of it.
func (j *job) writeMean(m *records.Manifest, sums *stats.Sums, rejects []Reject) (err error) {
	mean := &records.Mean{Shape: m.Shape, Baseline: j.baseline}
	if j.lent != nil {
		mean.Mean, m.PCA = j.lent.Mean.Mean, j.lent.Manifest.PCA
	} else {
		if sums.N() == 0 {
			train := func(r Reject) bool { return r.Split == source.Train }
			return noPictureError(len(j.plan.split(source.Train).Items), &rejects[slices.IndexFunc(rejects, train)])
		}
		mean.Mean = sums.Mean()
	}
	if j.lent == nil && m.Shape.C == 3 {
		p, err := sums.PCA()
		if err != nil {
			return err
		}
		m.PCA = &records.PCA{MeanRGB: p.MeanRGB, Covariance: p.Covariance, Eigenvalues: p.Values, Eigenvectors: p.Vectors, Pixels: p.Pixels}
	}
	m.Mean, err = records.WriteMean(filepath.Join(j.cfg.Out, records.MeanName), mean)
	return err
}

// writeRejects writes a list of files, sorted by split and key; it may be empty.
func (j *job) writeRejects(name string, rejects []Reject) error {
	slices.SortFunc(rejects, func(a, b Reject) int {
		return cmp.Or(cmp.Compare(a.Split, b.Split), cmp.Compare(a.Key, b.Key))
	})
	return atomicfile.Write(filepath.Join(j.cfg.Out, name), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		for _, r := range rejects {
			if err := e.Encode(r); err != nil {
				return err
			}
		}
		return nil
	})
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
	Splits      []SplitSummary // in the order train, val, test
	Classes     int
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
	s := Summary{Classes: len(m.Classes), Decoder: m.Decoder, Filter: m.Filter, Digest: m.Digest, Baseline: describeBaseline(cfg, p)}
	published := cfg.published()
	for _, split := range p.splits {
		info := m.Splits[split.Name]
		c := SplitSummary{Name: split.Name, Seen: info.Seen, Written: info.Written, Rejected: info.Rejected, Damaged: info.Damaged, Shards: len(info.Shards), Published: published[split.Name]}
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
