//go:build !race

package convert

// raceDetector says that the tests run under the race detector.
const raceDetector = false
