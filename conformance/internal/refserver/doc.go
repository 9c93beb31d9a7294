// Package refserver has a second server of each upgrade API, for the tests of the suite: written from the contract,
// knowing nothing of the emulator, and small. Each can be made wrong in one place at a time, so that the tests see
// which checks notice.
package refserver
