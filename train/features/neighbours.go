package features

import (
	"context"
	"strings"

	"alexnet/model"
	"alexnet/records"
)

// Query is a row of a split and the rows of the store that are nearest to it.
type Query struct {
	Row        int     `json:"row"`
	Key        string  `json:"key"`
	Label      int32   `json:"label"`
	Neighbours []Match `json:"neighbours"`
}

// Neighbours finds, for some rows of a split, the k rows of another whose features are
// nearest. Those of the other are stored in a folder, as Extract does. Where both splits
// are the same, a row is not its own neighbour.
func Neighbours(ctx context.Context, engine model.FeatureEngine, ds *records.Dataset, from, split *records.Split, rows []int, k int, dir string, o Options, so SearchOptions) ([]Query, Source, error) {
	values, err := Of(engine, ds, split, rows, o.Layer) // first, since Extract may take hours
	if err != nil {
		return nil, Source{}, err
	}
	s, err := Extract(ctx, engine, ds, from, dir, o)
	if err != nil {
		return nil, s, err
	}
	same := from.Name() == split.Name()
	find := k
	if same {
		find++
	}
	matches, err := s.Nearest(ctx, dir, values, find, so)
	if err != nil {
		return nil, s, err
	}
	queries := make([]Query, len(rows))
	for i, row := range rows {
		q := &queries[i]
		q.Row = row
		key, err := split.Key(row)
		if err != nil {
			return nil, s, err
		}
		q.Key = strings.Clone(key) // of mapped memory
		if q.Label, err = split.Label(row); err != nil {
			return nil, s, err
		}
		for _, m := range matches[i] {
			if !(same && m.Row == row) && len(q.Neighbours) < k {
				q.Neighbours = append(q.Neighbours, m)
			}
		}
	}
	return queries, s, nil
}
