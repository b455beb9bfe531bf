package records

import (
	"errors"
	"fmt"
	"os"
)

// CreateForwardShard is CreateShard for a shard that is only there to be sent
// elsewhere and removed: its bytes are written under its name from the start, and
// through the operating system's cache, as they are read again soon, and Commit
// does not wait for the disk.
func CreateForwardShard(path string, o WriterOptions) (*ShardWriter, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("shard %s: %w", path, err)
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return newShardWriter(path, &passing{f: file}, o)
}

// passing is a file that need not survive a power cut.
type passing struct{ f *os.File } // nil once ended

func (p *passing) Write(b []byte) (int, error) { return p.f.Write(b) }

// Commit closes the file; one that cannot be closed is removed.
func (p *passing) Commit() error {
	f := p.f
	p.f = nil
	if err := f.Close(); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Abort removes the file.
func (p *passing) Abort() error {
	if p.f == nil {
		return nil
	}
	f := p.f
	p.f = nil
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
