"""Is nowhere on the path of the program's children: Mitogen brings it."""


def where():
    return 'served as ' + __file__.split(':')[0]
