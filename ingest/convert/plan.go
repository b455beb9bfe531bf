package convert

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"alexnet/ingest/source"
	"alexnet/records"
)

// plan is the whole job, as it follows from the request and the list of files.
type plan struct {
	classes []records.Class
	splits  []source.Split
	shards  []shardPlan // of all splits, in their order
	own     []int       // those that this process makes
	total   int         // files of all splits
	request *request
}

// shardPlan is one shard: which files it is made of, in order.
type shardPlan struct {
	split string
	name  string
	items []*source.Item
	sums  bool // whether it counts for mean and colours
}

// newPlan deals the files of the source to shards.
func newPlan(cfg *Config) (*plan, error) {
	p := &plan{classes: cfg.Source.Classes(), splits: cfg.Source.Splits()}
	if err := p.holdOut(cfg); err != nil {
		return nil, err
	}
	if p.split(source.Train) == nil && cfg.MeanFrom == "" {
		return nil, &ConfigError{Option: "src", What: "has no training split to compute the mean picture from; name records that have one with --mean DIR"}
	}
	if p.split(source.Train) != nil && cfg.MeanFrom != "" {
		return nil, &ConfigError{Option: "mean", What: "is for sources without a training split; this one has its own mean picture"}
	}
	rows := records.RowsPerShard(cfg.ShardBytes, cfg.Shape(), cfg.Pixels)
	for _, s := range p.splits {
		total := len(s.Items)
		p.total += total
		order := records.Permutation("deal "+s.Name, cfg.Seed, 0, total)
		n := (total + rows - 1) / rows
		for i := range n {
			shard := shardPlan{split: s.Name, name: records.ShardName(s.Name, i, n), sums: s.Name == source.Train}
			// All shards of a split have the same number of rows, or one more.
			for _, at := range order[total*i/n : total*(i+1)/n] {
				shard.items = append(shard.items, &s.Items[at])
			}
			if cfg.Task.owns(len(p.shards)) {
				p.own = append(p.own, len(p.shards))
			}
			p.shards = append(p.shards, shard)
		}
	}
	p.request = newRequest(cfg, p)
	return p, nil
}

// split returns the split of that name, nil if there is none.
func (p *plan) split(name string) *source.Split {
	for i := range p.splits {
		if p.splits[i].Name == name {
			return &p.splits[i]
		}
	}
	return nil
}

// holdOut moves a part of each class of the training split to a validation
// split: the first of a seeded permutation, as many as the fraction says,
// rounded, but never a whole class.
func (p *plan) holdOut(cfg *Config) error {
	if cfg.ValFraction == 0 {
		return nil
	}
	train := p.split(source.Train)
	if train == nil || p.split(source.Val) != nil {
		return &ConfigError{Option: "val-fraction", What: "is for sources with a training split and without a validation split"}
	}
	byLabel := map[int32][]int{}
	for i, it := range train.Items {
		byLabel[it.Label] = append(byLabel[it.Label], i)
	}
	held := make([]bool, len(train.Items))
	for label, of := range byLabel {
		n := min(int(cfg.ValFraction*float64(len(of))+0.5), len(of)-1)
		for _, k := range records.Permutation("val-fraction", cfg.Seed, uint64(uint32(label)), len(of))[:n] {
			held[of[k]] = true
		}
	}
	kept, val := source.Split{Name: source.Train}, source.Split{Name: source.Val}
	for i, it := range train.Items {
		if held[i] {
			val.Items = append(val.Items, it)
		} else {
			kept.Items = append(kept.Items, it)
		}
	}
	if len(val.Items) == 0 {
		return &ConfigError{Option: "val-fraction", What: fmt.Sprintf("is %v, which leaves no validation picture: the largest class is too small", cfg.ValFraction)}
	}
	splits := []source.Split{kept, val}
	for _, s := range p.splits {
		if s.Name != source.Train {
			splits = append(splits, s)
		}
	}
	p.splits = splits
	return nil
}

// borrow checks that the mean picture of other records fits, and makes it part
// of the request.
func (p *plan) borrow(from *records.Dataset, cfg *Config) error {
	if from.Manifest.Shape != cfg.Shape() {
		return &ConfigError{Option: "mean", What: fmt.Sprintf("names records of %v, and --size asks for %v", from.Manifest.Shape, cfg.Shape())}
	}
	p.request.Options = append(p.request.Options, setting{"mean", from.Manifest.Mean.SHA256[:min(16, len(from.Manifest.Mean.SHA256))]})
	return nil
}

// request is everything that decides which bytes the job makes. It is kept as
// ingest.json in the output.
type request struct {
	Format  string       `json:"format"`
	Version int          `json:"version"`
	Options []setting    `json:"options"`
	Classes digest       `json:"classes"`
	Splits  []splitFiles `json:"splits"`
}

const (
	requestName    = "ingest.json"
	requestFormat  = "alexnet-ingest"
	requestVersion = 2
)

// setting is the value of an option.
type setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// digest identifies a list.
type digest struct {
	Count  int    `json:"count"`
	SHA256 string `json:"sha256"`
}

// splitFiles identifies the files of a split: the digest is of keys, labels and
// sizes.
type splitFiles struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	digest
}

func newRequest(cfg *Config, p *plan) *request {
	number := func(v int64) string { return strconv.FormatInt(v, 10) }
	r := &request{Format: requestFormat, Version: requestVersion, Options: []setting{
		{"pixels", string(cfg.Pixels)},
		{"compress", string(cfg.Compression)},
		{"size", number(int64(cfg.Size))},
		{"channels", number(int64(cfg.Shape().C))},
		{"shard-size", number(cfg.ShardBytes)},
		{"seed", strconv.FormatUint(cfg.Seed, 10)},
		{"val-fraction", strconv.FormatFloat(cfg.ValFraction, 'g', -1, 64)},
		{"baseline-sample", number(int64(cfg.BaselineSample))},
		{"max-side", number(int64(cfg.Limits.MaxSide))},
		{"max-pixels", number(int64(cfg.Limits.MaxPixels))},
		{"keep-truncated", strconv.FormatBool(cfg.KeepTruncated)},
		{"exif-rotate", strconv.FormatBool(cfg.ExifRotate)},
		{"decoder", cfg.Decoder()},
		{"filter", cfg.Resize.Name()},
	}}
	sum := sha256.New()
	for _, c := range p.classes {
		fmt.Fprintf(sum, "%q %d %q\n", c.WNID, c.ILSVRCID, c.Words)
	}
	r.Classes = digest{len(p.classes), hex.EncodeToString(sum.Sum(nil))}
	for _, s := range p.splits {
		files := splitFiles{Name: s.Name}
		sum.Reset()
		for i := range s.Items {
			it := &s.Items[i]
			files.Bytes += it.Size
			fmt.Fprintf(sum, "%q %d %d %d\n", it.Key, it.Label, it.ILSVRCID, it.Size)
		}
		files.digest = digest{len(s.Items), hex.EncodeToString(sum.Sum(nil))}
		r.Splits = append(r.Splits, files)
	}
	return r
}

// encode gives the bytes of ingest.json.
func (r *request) encode() ([]byte, error) {
	var b bytes.Buffer
	err := writeJSON(&b, r)
	return b.Bytes(), err
}

// differences says in words how now differs from the request that was.
func (r *request) differences(now *request) []string {
	var d []string
	value := func(of []setting, name string) string {
		for _, s := range of {
			if s.Name == name {
				return s.Value
			}
		}
		return "not given"
	}
	names := func(r *request) (all []string) {
		for _, s := range r.Options {
			all = append(all, s.Name)
		}
		return all
	}
	for _, name := range union(names(r), names(now)) {
		if was, is := value(r.Options, name), value(now.Options, name); was != is {
			change := fmt.Sprintf("%s was %s, is %s", name, was, is)
			if name == "decoder" {
				change += " (shards of two decoders would not be the same: install the one that was used)"
			}
			d = append(d, change)
		}
	}
	if r.Classes != now.Classes {
		d = append(d, listChange("classes", r.Classes.Count, now.Classes.Count, "other names or numbers"))
	}
	files := func(r *request, name string) splitFiles {
		for _, s := range r.Splits {
			if s.Name == name {
				return s
			}
		}
		return splitFiles{Name: name}
	}
	splits := func(r *request) (all []string) {
		for _, s := range r.Splits {
			all = append(all, s.Name)
		}
		return all
	}
	for _, name := range union(splits(r), splits(now)) {
		if was, is := files(r, name), files(now, name); was != is {
			d = append(d, listChange(name+" files", was.Count, is.Count, "other keys, labels or sizes"))
		}
	}
	return d
}

func listChange(what string, was, is int, same string) string {
	if was != is {
		return fmt.Sprintf("%s were %d, are %d", what, was, is)
	}
	return fmt.Sprintf("%s: %d as before, with %s", what, is, same)
}

// union returns the elements of a, and those of b that a lacks.
func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
