package pipeline

import (
	"fmt"

	"alexnet/records"

	"github.com/zeebo/xxh3"
)

// Digest shows which records were delivered, in whatever order: their number,
// and the sum, modulo 2^64, of the XXH3-64 of their keys. The digests of an
// epoch's batches, over all ranks, add up to DigestOf the split when each record
// came exactly once; a record left out and another one doubled show in the sum.
type Digest struct {
	Records int64
	Sum     uint64
}

// Add returns the digest of the records of both.
func (d Digest) Add(other Digest) Digest {
	return Digest{d.Records + other.Records, d.Sum + other.Sum}
}

// Sub returns the digest of the records of d without those of other.
func (d Digest) Sub(other Digest) Digest {
	return Digest{d.Records - other.Records, d.Sum - other.Sum}
}

// DigestOfKey returns the digest of one record.
func DigestOfKey(key string) Digest { return Digest{1, xxh3.HashString(key)} }

// String returns the number and the sum in hexadecimal: "50000-1f0c…".
func (d Digest) String() string { return fmt.Sprintf("%d-%016x", d.Records, d.Sum) }

// DigestOf returns the digest of all records of a split, of which it reads the
// keys only, and the rows whose keys are lost (records.IsDamage): they are not
// in it.
func DigestOf(split *records.Split) (d Digest, lost []int64, err error) {
	for i := range split.Len() {
		key, err := split.Key(i)
		switch {
		case err == nil:
			d = d.Add(DigestOfKey(key))
		case records.IsDamage(err):
			lost = append(lost, int64(i))
		default:
			return Digest{}, nil, fmt.Errorf("pipeline: key of record %d of split %q: %w", i, split.Name(), err)
		}
	}
	return d, lost, nil
}
