//go:build race

package convert

// raceDetector says that the tests run under the race detector, under which
// decoding is an order of magnitude slower.
const raceDetector = true
