package main

import (
	"fmt"
	"math"
)

// status is what became of a check or a measurement.
type status string

const (
	passed   status = "ok"
	failed   status = "FAILED"
	skipped  status = "skipped" // could not be tried here; Note says why
	measured status = "-"       // a figure, or a fact, with nothing to compare it with
	met      status = "met"     // a target
	missed   status = "missed"  // a target
)

// result is a line of the table.
type result struct {
	Part      string  `json:"part"`
	What      string  `json:"what"`
	Status    status  `json:"status"`
	Value     float64 `json:"value,omitempty"`
	Unit      string  `json:"unit,omitempty"`
	Limit     float64 `json:"limit,omitempty"` // the most of a check, the least of a target
	Note      string  `json:"note,omitempty"`
	Program   string  `json:"program,omitempty"` // of speeds: ours or torch
	Precision string  `json:"precision,omitempty"`
	Batch     int     `json:"batch,omitempty"`
	Variant   string  `json:"variant,omitempty"`  // of torch's: how it was run
	StepMS    float64 `json:"step_ms,omitempty"`  // milliseconds a step
	Share     float64 `json:"of_peak,omitempty"`  // arithmetic done, of what a product of matrices does here
	Waiting   float64 `json:"waiting,omitempty"`  // share of the time spent waiting for data
	Slowest   float64 `json:"slowest,omitempty"`  // the worst repetition
	Fastest   float64 `json:"fastest,omitempty"`  // the best
	Seconds   float64 `json:"seconds,omitempty"`  // that a part took
	Headline  string  `json:"headline,omitempty"` // of facts: their name in the heading, such as "device"
}

// recorder takes the results of a part.
type recorder struct {
	part string
	each func(result)
}

// add takes a result. A figure that is no number is a failure: nothing here may be one.
func (r *recorder) add(res result) {
	res.Part = r.part
	for _, v := range []*float64{&res.Value, &res.StepMS, &res.Share, &res.Waiting, &res.Slowest, &res.Fastest} {
		if math.IsNaN(*v) || math.IsInf(*v, 0) {
			res.Status, res.Note = failed, fmt.Sprintf("%g %s", *v, res.Note)
			*v = 0
		}
	}
	r.each(res)
}

// within checks that a figure is at most its limit.
func (r *recorder) within(what string, value, limit float64, note string) {
	s := passed
	if !(value <= limit) {
		s = failed
	}
	r.add(result{What: what, Status: s, Value: value, Limit: limit, Note: note})
}

// check notes whether something holds: err says what does not.
func (r *recorder) check(what string, err error) bool {
	if err != nil {
		r.add(result{What: what, Status: failed, Note: err.Error()})
		return false
	}
	r.add(result{What: what, Status: passed})
	return true
}

// fact notes something that is as it is. A headline puts it above the tables.
func (r *recorder) fact(headline, what, note string) {
	r.add(result{What: what, Status: measured, Note: note, Headline: headline})
}

// measure notes a figure.
func (r *recorder) measure(what string, value float64, unit, note string) {
	r.add(result{What: what, Status: measured, Value: value, Unit: unit, Note: note})
}

// target notes a figure that the issue wants to be at least so large.
func (r *recorder) target(what string, value, least float64, unit string) {
	s := met
	if !(value >= least) {
		s = missed
	}
	r.add(result{What: what, Status: s, Value: value, Limit: least, Unit: unit})
}

// skip notes what could not be tried.
func (r *recorder) skip(what, why string) {
	r.add(result{What: what, Status: skipped, Note: why})
}
