# The macros that an extension's CMakeLists.txt calls.

if("${PROJECT_NAME}" STREQUAL "")
  message(FATAL_ERROR "project() must be called before the extension uses Slicer")
endif()
set(EXTENSION_NAME ${PROJECT_NAME})
option(BUILD_TESTING "Test the extension" ON)
if(BUILD_TESTING)
  enable_testing()
endif()

# Copies scripts and resources, with the folders they have below the calling one, into the build tree's folder of
# modules, and installs that folder.
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY_SLICER "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_SLICER_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule does not know ${MY_SLICER_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT DEFINED MY_SLICER_NAME)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule needs a NAME")
  endif()
  if(NOT MY_SLICER_SCRIPTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule needs SCRIPTS")
  endif()
  set(_subdirectory "")
  if(MY_SLICER_WITH_SUBDIR)
    get_filename_component(_subdirectory ${CMAKE_CURRENT_SOURCE_DIR} NAME)
    set(_subdirectory "/${_subdirectory}")
  endif()
  set(_destination ${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}${_subdirectory})
  set(_copied)
  foreach(_kind IN ITEMS SCRIPTS RESOURCES)
    foreach(_file IN LISTS MY_SLICER_${_kind})
      if(_kind STREQUAL "SCRIPTS" AND NOT _file MATCHES "\\.py$")
        string(APPEND _file ".py")
      endif()
      if(IS_ABSOLUTE ${_file})
        message(FATAL_ERROR "${_file}: only paths relative to the calling folder are known here")
      endif()
      if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${_file})
        message(FATAL_ERROR "slicerMacroBuildScriptedModule(${_kind}) given nonexistent ${_file}")
      endif()
      add_custom_command(
        OUTPUT ${_destination}/${_file}
        COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_CURRENT_SOURCE_DIR}/${_file} ${_destination}/${_file}
        DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${_file}
        )
      list(APPEND _copied ${_destination}/${_file})
    endforeach()
  endforeach()
  add_custom_target(Copy${MY_SLICER_NAME}PythonFiles ALL DEPENDS ${_copied})
  if(MY_SLICER_WITH_SUBDIR)
    install(DIRECTORY ${_destination} DESTINATION ${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR})
  else()
    install(DIRECTORY ${_destination}/ DESTINATION ${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR})
  endif()
  if(BUILD_TESTING AND MY_SLICER_WITH_GENERIC_TESTS)
    slicer_add_python_unittest(
      SCRIPT qSlicer${MY_SLICER_NAME}ModuleGenericTest.py
      SLICER_ARGS --no-main-window --disable-cli-modules
                  --additional-module-path ${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}
      TESTNAME_PREFIX nomainwindow_
      )
  endif()
endmacro()

# A ctest that has Slicer run the unit test of a script.
macro(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS" ${ARGN})
  get_filename_component(_name ${MY_SCRIPT} NAME_WE)
  set(_folders "['${CMAKE_CURRENT_BINARY_DIR}', '${CMAKE_CURRENT_SOURCE_DIR}']")
  add_test(
    NAME py_${MY_TESTNAME_PREFIX}${_name}
    COMMAND ${Slicer_LAUNCHER_EXECUTABLE} --no-splash --ignore-slicerrc ${MY_SLICER_ARGS}
            --python-code "import slicer.testing; slicer.testing.runUnitTest(${_folders}, '${_name}')"
    )
endmacro()
