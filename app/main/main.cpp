#include "app/run.h"

int main(int argc, char** argv) {
  return qi::run(argc, argv);
}
