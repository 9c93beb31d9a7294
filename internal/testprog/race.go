//go:build race

package testprog

const raceDetector = true
