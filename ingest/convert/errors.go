package convert

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
)

// ConfigError says that an option has a value that is not possible.
type ConfigError struct {
	Option string // name of the flag, without dashes
	What   string // what is wrong with it
}

// Error names the option and what is wrong.
func (e *ConfigError) Error() string { return "--" + e.Option + " " + e.What }

// ChangedError says that the output belongs to a job with other options or
// other files.
type ChangedError struct {
	Out         string
	Finished    bool     // the other job is finished
	Differences []string // "size was 256, is 224"
}

// Error lists the differences and says what to do.
func (e *ChangedError) Error() string {
	what := "an unfinished job with"
	if e.Finished {
		what = "records that were made with"
	}
	return fmt.Sprintf("%s holds %s other options or files: %s; use the same ones again, another --out, or --restart to throw it away and begin anew",
		e.Out, what, strings.Join(e.Differences, "; "))
}

// ForeignError says that the output holds files of ours whose origin is not
// known.
type ForeignError struct {
	Out  string
	File string // one of them
}

// Error names the file and says what to do.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s holds %s, but no %s that says how it was made; use another --out, or --restart to throw it away and begin anew", e.Out, e.File, requestName)
}

// BusyError says that another process is working on the same output.
type BusyError struct{ Out string }

// Error names the output.
func (e *BusyError) Error() string {
	return e.Out + ": another ingest is working there; wait for it, or use another --out"
}

// LostError says that an output in a store, where nothing can be locked, was
// thrown away or taken for another job while this one was at work.
type LostError struct{ Out string }

// Error names the output and says what to do.
func (e *LostError) Error() string {
	return e.Out + ": another ingest has begun anew there (--restart), or somebody removed what it held; this one stops, and what it made is for nothing: use another --out, or the same options when the other one is done"
}

// DiffersError says that two processes came to different results for the same
// part of a job, which depends on nothing but the request.
type DiffersError struct{ File string }

// Error names the file and says what to do.
func (e *DiffersError) Error() string {
	return fmt.Sprintf("%s was written meanwhile by another process, for the same part of the job, and says something else: one of the two machines or its libraries fail, or another ingest began anew there; find out which, and begin anew with --restart", e.File)
}

// TaskCountError says that a job is shared by another number of tasks.
type TaskCountError struct {
	Dir  string // where the done-markers are
	Done Task   // one that is done
	Task Task   // the one that is not of the same number
}

// Error names both and says what to do.
func (e *TaskCountError) Error() string {
	return fmt.Sprintf("--shard %v does not go with the task that is done already, %s in %s: use n = %d, or remove task-*-of-%05d.done there to share the job anew; shards that are finished are kept",
		e.Task, e.Done.doneFile(), e.Dir, e.Done.Count, e.Done.Count)
}

// ScratchError says that the folder failed where shards are written before they
// are sent to an object store.
type ScratchError struct {
	Dir string
	Err error
}

// Error names the folder and says what to do.
func (e *ScratchError) Error() string {
	do := "name another folder with --scratch"
	if isFull(e.Err) {
		do = "make room there, or name a folder on a larger disk with --scratch"
	}
	return fmt.Sprintf("the scratch folder %s, where shards are written before they are sent: %v; %s", e.Dir, e.Err, do)
}

// Unwrap returns the cause.
func (e *ScratchError) Unwrap() error { return e.Err }

// isFull says that a disk, or the user's share of it, is full.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// StoppedError says that a job was begun and not finished. What is done is kept.
type StoppedError struct {
	Out    string
	Done   int // shards that are finished
	Shards int // shards in all
	// Restarted says that the job had been told to begin anew.
	Restarted bool
	Err       error
}

// Error gives the cause, what is kept, and what to do.
func (e *StoppedError) Error() string {
	again := "run the same command again to go on"
	if e.Restarted {
		again = "run the same command without --restart to go on"
	}
	cause := e.Err.Error()
	var many *TooManyRejectsError
	var lost *LostError
	var differs *DiffersError
	var scratch *ScratchError
	switch {
	case errors.As(e.Err, &lost), errors.As(e.Err, &differs):
		return cause // which says what to do instead
	case errors.As(e.Err, &scratch): // the disk is not where the output is
	case errors.Is(e.Err, context.Canceled):
		cause = "interrupted"
	case isFull(e.Err):
		again = "make room there and " + again
	case errors.As(e.Err, &many):
		again += ", with a larger --max-rejects"
	}
	return fmt.Sprintf("%s; %d of %d shards are finished and kept in %s: %s", cause, e.Done, e.Shards, e.Out, again)
}

// Unwrap returns the cause.
func (e *StoppedError) Unwrap() error { return e.Err }

// RejectError is the first rejected file of a strict job.
type RejectError struct{ Reject Reject }

// Error names the file and the reason.
func (e *RejectError) Error() string {
	return fmt.Sprintf("%s %s rejected (--strict): %s: %s", e.Reject.Split, e.Reject.Key, e.Reject.Reason, e.Reject.Message)
}

// TooManyRejectsError says that more files were rejected than the job allows.
type TooManyRejectsError struct {
	Rejected, Allowed, Total int
	Share                    float64        // Config.MaxRejects
	Reasons                  map[string]int // by class
	Last                     Reject
}

// Error counts the rejects by reason and gives an example.
func (e *TooManyRejectsError) Error() string {
	return fmt.Sprintf("%d of %d files rejected, and --max-rejects %v allows %d: %s; the last one is %s %s: %s",
		e.Rejected, e.Total, e.Share, e.Allowed, countReasons(e.Reasons), e.Last.Split, e.Last.Key, e.Last.Message)
}

// countReasons gives "3 truncated, 1 empty", the most frequent first.
func countReasons(reasons map[string]int) string {
	names := slices.Sorted(maps.Keys(reasons))
	slices.SortStableFunc(names, func(a, b string) int { return reasons[b] - reasons[a] })
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = fmt.Sprintf("%d %s", reasons[n], n)
	}
	return strings.Join(parts, ", ")
}
