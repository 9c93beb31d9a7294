package mockserver_test

const childVariable = "UPGRADEMOCK_TEST_CHILD"

func beChild() int { return 0 }
